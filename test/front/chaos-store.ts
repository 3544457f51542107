/**
 * A backing store with faults, for random tests. An asynchronous one ends its calls when it is told to, in a random
 * order; both kinds fail, tear, lose, mix up and hang as planned. The store knows what each slot was last said to hold.
 * It also watches its caller: breaches of the rules of BackingStore are recorded, and `verify` throws them.
 */
import { CompcacheError, type BackingStore } from '../../bindings/index.ts';
import { must, sameBytes } from '../harness.ts';

/** Bytes before the data of a slot. */
const SLOT_HEADER = 32;

export type Op = 'read' | 'write' | 'free' | 'sync';

export const FAULTS = {
  /** Faults of any call. */
  any: ['reject', 'throw', 'undone', 'hang'],
  /** Faults of a write, which reports success or not and leaves other bytes in the slot. */
  write: ['torn', 'mixed', 'lost', 'full', 'astray'],
  /** Faults of a read, which gives other bytes. */
  read: ['old', 'short', 'flip', 'other', 'missing', 'silent', 'odd'],
} as const;
export type Fault = (typeof FAULTS)[keyof typeof FAULTS][number];

/** Every fault that a call may have. */
export function faultsOf(op: Op): readonly Fault[] {
  if (op === 'write') return [...FAULTS.any, ...FAULTS.write];
  if (op === 'read') return [...FAULTS.any, ...FAULTS.read];
  return FAULTS.any;
}

/** A call under way. */
export interface Call {
  readonly op: Op;
  readonly slot: number;
  readonly fault: Fault | undefined;
  /** True when its caller no longer waits for it. */
  late: boolean;
  readonly end: () => void;
}

interface Slot {
  bytes: Uint8Array;
  before: Uint8Array | undefined;
  /** The bytes that the caller believes to be in the slot; undefined once a write has failed. */
  said: Uint8Array | undefined;
}

export interface ChaosOptions {
  mode?: 'sync' | 'async';
  slots?: number;
  seed?: number;
  /** The most calls at once. */
  maxInFlight?: number;
}

/** Random numbers from a seed. */
export function dice(seed: number): (below: number) => number {
  let x = (seed ^ 0x9e3779b9) >>> 0 || 1;
  return (below) => {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    return (x >>> 0) % below;
  };
}

class StoreFault extends Error {
  readonly code: string | undefined;

  constructor(fault: string, code?: string) {
    super(`chaos: ${fault}`);
    this.code = code;
  }
}

export class ChaosStore implements BackingStore {
  readonly mode: 'sync' | 'async';
  readonly slots: number;
  /** Called in every call before it has an effect, for a store that calls back. */
  inside: ((op: Op, slot: number) => void) | undefined;
  /** From now on: slots are full, calls fail, or calls hang. */
  condition: 'fine' | 'full' | 'gone' | 'stuck' = 'fine';
  /** The number of reads that gave wrong bytes or none. */
  damaged = 0;
  /** The number of reads, writes and frees that failed or timed out. */
  readonly failed: Record<Op, number> = { read: 0, write: 0, free: 0, sync: 0 };
  readonly calls: Record<Op, number> = { read: 0, write: 0, free: 0, sync: 0 };
  /** Slots in use: from the start of the first write to the end of a free. */
  readonly owned = new Set<number>();
  /** Calls under way, oldest first. */
  readonly pending: Call[] = [];
  /** Calls that end when `release` is called. */
  readonly hung: Call[] = [];
  readonly #held = new Map<number, Slot>();
  readonly #plans: { op: Op; fault: Fault; after: number }[] = [];
  readonly #maxInFlight: number;
  readonly #draw: (below: number) => number;
  readonly #broken: string[] = [];
  #isOver = false;

  constructor(options: ChaosOptions = {}) {
    this.mode = options.mode ?? 'async';
    this.slots = options.slots ?? 1024;
    this.#draw = dice(options.seed ?? 1);
    this.#maxInFlight = options.maxInFlight ?? Infinity;
  }

  // ── what the test does ─────────────────────────────────────────────────────

  /** Plans a fault: after `after` more calls of the kind, one has this fault. */
  plan(op: Op, fault: Fault, after = 0): void {
    this.#plans.push({ op, fault, after });
  }

  /** Removes all plans; calls work again. */
  recover(): void {
    this.#plans.length = 0;
    this.condition = 'fine';
  }

  /** Ends one call under way: a random one, or the one at `place`. @returns whether there was one */
  settle(place = this.pending.length === 0 ? 0 : this.#draw(this.pending.length)): boolean {
    const [call] = this.pending.splice(place, 1);
    call?.end();
    return call !== undefined;
  }

  /** Ends the oldest call of this kind (on this slot). */
  settleOf(op: Op, slot?: number): void {
    const place = this.pending.findIndex((call) => call.op === op && (slot === undefined || call.slot === slot));
    must(place !== -1, `no ${op} is under way`);
    this.settle(place);
  }

  /** Ends a call that hangs. @returns whether there was one */
  release(): boolean {
    if (this.hung.length === 0) return false;
    const [call] = this.hung.splice(this.#draw(this.hung.length), 1);
    call?.end();
    return true;
  }

  /** The callers of all calls under way no longer wait for them. The calls do not end by this. */
  giveUp(): void {
    for (const call of [...this.pending, ...this.hung]) {
      if (!call.late) this.failed[call.op] += 1;
      call.late = true;
    }
  }

  get underWay(): number {
    return this.pending.length + this.hung.length;
  }

  /** A store with the same slots and no owner. It has no faults unless a seed is given. No call may be under way. */
  copy(seed = this.#draw(2 ** 30)): ChaosStore {
    must(this.underWay === 0, 'a store is copied while a call is under way');
    const copy = new ChaosStore({ mode: this.mode, slots: this.slots, seed, maxInFlight: this.#maxInFlight });
    for (const slot of this.owned) copy.owned.add(slot);
    for (const [slot, held] of this.#held) copy.#held.set(slot, { ...held });
    Object.assign(copy.failed, this.failed);
    copy.damaged = this.damaged;
    return copy;
  }

  /** Whether the header of a slot is the one that was written: magic and version, number, generation and epoch. */
  begins(slot: number): boolean {
    const { bytes, said } = this.#held.get(slot) ?? {};
    if (bytes === undefined || said === undefined || bytes.length <= SLOT_HEADER) return false;
    return [
      [0, 5],
      [12, 24],
    ].every(([from, to]) => sameBytes(bytes.subarray(from, to), said.subarray(from, to)));
  }

  /** Any later call is a breach of the rules. */
  forbidCalls(): void {
    this.#isOver = true;
  }

  /** Throws if a rule was broken. */
  verify(): void {
    must(this.#broken.length === 0, `the store was misused: ${this.#broken.join('; ')}`);
  }

  /** The number of slots that hold something, whatever the caller believes. */
  get used(): number {
    return this.#held.size;
  }

  // ── what the front end does ────────────────────────────────────────────────

  read(slot: number, into: Uint8Array): number | Promise<number> {
    return this.#call('read', slot, (fault) => this.#read(slot, into, fault));
  }

  write(slot: number, bytes: Uint8Array): void | Promise<void> {
    const copy = bytes.slice();
    this.owned.add(slot);
    return this.#call('write', slot, (fault) => {
      if (!sameBytes(bytes, copy)) this.#break(`the bytes of slot ${slot} were changed while they were written`);
      this.#write(slot, copy, fault);
    });
  }

  free(slot: number): void | Promise<void> {
    if (!this.owned.has(slot)) this.#break(`slot ${slot} was freed, but was not in use`);
    return this.#call('free', slot, () => void this.#held.delete(slot));
  }

  sync(): void | Promise<void> {
    return this.#call('sync', -1, () => undefined);
  }

  close(): void {
    this.#break('closed by a caller that does not own it');
  }

  // ── one call ───────────────────────────────────────────────────────────────

  #break(rule: string): void {
    this.#broken.push(rule);
  }

  #require(op: Op, slot: number): void {
    if (this.#isOver) this.#break(`${op} of slot ${slot} after close`);
    // close calls sync once; all earlier calls must have ended or timed out.
    if (op === 'sync') {
      if ([...this.pending, ...this.hung].some(({ late }) => !late))
        this.#break('sync while other calls are under way');
      return;
    }
    if (!(slot >= 0 && slot < this.slots)) this.#break(`slot ${slot} of ${this.slots}`);
    const same = [...this.pending, ...this.hung].filter((call) => call.slot === slot && call.op !== 'read');
    for (const call of same) this.#break(`${op} of slot ${slot} while a ${call.op} is under way`);
    if (this.underWay >= this.#maxInFlight) this.#break(`${this.underWay + 1} calls at once`);
  }

  #faultOf(op: Op): Fault | undefined {
    const plans = this.#plans.filter((plan) => plan.op === op);
    const due = plans.find((plan) => plan.after === 0);
    for (const plan of plans) plan.after -= 1;
    if (due !== undefined) this.#plans.splice(this.#plans.indexOf(due), 1);
    if (this.condition === 'full' && op === 'write') return 'full';
    if (this.condition === 'gone') return 'reject';
    return this.condition === 'stuck' ? 'hang' : due?.fault;
  }

  #call<T>(op: Op, slot: number, effect: (fault: Fault | undefined) => T): T | Promise<T> {
    this.#require(op, slot);
    this.calls[op] += 1;
    const fault = this.#faultOf(op);
    this.inside?.(op, slot);
    if (this.mode === 'sync') return this.#run(op, slot, fault, effect);
    if (fault === 'throw') return this.#run(op, slot, fault, effect);
    return new Promise<T>((resolve, reject) => {
      const call: Call = {
        op,
        slot,
        fault,
        late: false,
        end: () => {
          try {
            resolve(this.#run(op, slot, fault, effect, call.late));
          } catch (error) {
            reject(error as Error);
          }
        },
      };
      (fault === 'hang' ? this.hung : this.pending).push(call);
    });
  }

  /** Carries out a call with its fault, and gives its answer. */
  #run<T>(op: Op, slot: number, fault: Fault | undefined, effect: (fault: Fault | undefined) => T, late = false): T {
    try {
      // 'undone' fails without an effect; the other faults fail before or after the effect.
      if (fault === 'undone' || (fault === 'throw' && this.#draw(2) === 0)) throw new StoreFault(fault);
      const value = effect(fault);
      if (fault === 'reject' || fault === 'throw') throw new StoreFault(fault);
      return value;
    } catch (error) {
      if (!late && (error as StoreFault).code !== 'ENOENT') this.failed[op] += 1;
      const held = this.#held.get(slot);
      if (op === 'write' && held !== undefined) held.said = undefined;
      throw error;
    } finally {
      if (op === 'free') this.owned.delete(slot);
    }
  }

  #write(slot: number, bytes: Uint8Array, fault: Fault | undefined): void {
    const before = this.#held.get(slot)?.bytes;
    const put = (now: Uint8Array): void => void this.#held.set(slot, { bytes: now, before, said: bytes });
    const cut = this.#draw(bytes.length);
    switch (fault) {
      case 'torn':
        return put(bytes.slice(0, cut));
      case 'mixed': {
        const mixed = new Uint8Array(Math.max(bytes.length, before?.length ?? 0));
        mixed.set(before ?? mixed);
        mixed.set(bytes.subarray(0, cut));
        return put(mixed);
      }
      case 'lost':
        return put(before ?? new Uint8Array(0));
      case 'astray': {
        // The bytes went to another slot in use, if there is one.
        const others = [...this.#held.keys()].filter((other) => other !== slot);
        const victim = this.#held.get(others[this.#draw(Math.max(others.length, 1))] ?? -1);
        if (victim !== undefined) victim.bytes = bytes;
        return put(before ?? new Uint8Array(0));
      }
      case 'full':
        throw new CompcacheError('ENOSPC', 'chaos.write', 'full');
      default:
        put(bytes);
    }
  }

  #read(slot: number, into: Uint8Array, fault: Fault | undefined): number {
    const held = this.#held.get(slot);
    const given = this.#given(held, slot, fault);
    if (given === undefined) {
      this.damaged += 1;
      throw new StoreFault('nothing is there', 'ENOENT');
    }
    into.set(given);
    // A read is damaged when it does not begin with the bytes that were written.
    if (held?.said === undefined || !sameBytes(given.subarray(0, held.said.length), held.said)) this.damaged += 1;
    if (fault === 'silent') return undefined as unknown as number;
    if (fault === 'odd') return [-1, 2 ** 32, NaN, 9999][this.#draw(4)] as number;
    return given.length;
  }

  #given(held: Slot | undefined, slot: number, fault: Fault | undefined): Uint8Array | undefined {
    if (held === undefined || fault === 'missing') return undefined;
    const { bytes } = held;
    switch (fault) {
      case 'old':
        return held.before ?? new Uint8Array(0);
      case 'short':
        return bytes.slice(0, this.#draw(Math.max(bytes.length, 1)));
      case 'flip': {
        const flipped = bytes.slice();
        const at = this.#draw(Math.max(flipped.length, 1));
        if (flipped.length > 0) flipped[at] = (flipped[at] as number) ^ (1 << this.#draw(8));
        return flipped;
      }
      case 'other':
        return ([...this.#held].find(([other]) => other !== slot)?.[1] ?? held).bytes;
      default:
        return bytes;
    }
  }
}
