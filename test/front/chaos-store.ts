/**
 * A backing store that does everything a store may do, and much that it may not: an asynchronous one settles its calls when
 * it is told to, in an order that is drawn; either kind fails, tears, loses, mixes up and hangs as planned. It knows the
 * truth: what each slot was last said to hold. And it watches its caller: what breaks the rules of BackingStore is noted and
 * thrown by `verify`.
 */
import { CompcacheError, type BackingStore } from '../../bindings/index.ts';
import { must, sameBytes } from '../harness.ts';

/** Bytes before the data of a slot. */
const SLOT_HEADER = 32;

export type Op = 'read' | 'write' | 'free' | 'sync';

export const FAULTS = {
  /** Of any call. */
  any: ['reject', 'throw', 'undone', 'hang'],
  /** A write that reports success, or not, and leaves something else in the slot. */
  write: ['torn', 'mixed', 'lost', 'full', 'astray'],
  /** A read that gives something else. */
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
  /** Its caller has given it up. */
  late: boolean;
  readonly end: () => void;
}

interface Slot {
  bytes: Uint8Array;
  before: Uint8Array | undefined;
  /** What its caller believes it to hold; undefined once a write has failed. */
  said: Uint8Array | undefined;
}

export interface ChaosOptions {
  mode?: 'sync' | 'async';
  slots?: number;
  seed?: number;
  /** The most calls at once. */
  maxInFlight?: number;
}

/** Numbers from a seed. */
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
  /** Called inside every call before it has an effect: a store that calls back. */
  inside: ((op: Op, slot: number) => void) | undefined;
  /** Whether slots are full, calls fail, or calls hang from now on. */
  weather: 'fine' | 'full' | 'gone' | 'stuck' = 'fine';
  /** Reads that gave what was not written, or nothing. */
  damaged = 0;
  /** Reads, writes and frees that failed or were given up. */
  readonly failed: Record<Op, number> = { read: 0, write: 0, free: 0, sync: 0 };
  readonly calls: Record<Op, number> = { read: 0, write: 0, free: 0, sync: 0 };
  /** Slots between the first write and the end of a free. */
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
  #sealed = false;

  constructor(options: ChaosOptions = {}) {
    this.mode = options.mode ?? 'async';
    this.slots = options.slots ?? 1024;
    this.#draw = dice(options.seed ?? 1);
    this.#maxInFlight = options.maxInFlight ?? Infinity;
  }

  // ── what the test does ─────────────────────────────────────────────────────

  /** The call of a kind after so many more has a fault. */
  plan(op: Op, fault: Fault, after = 0): void {
    this.#plans.push({ op, fault, after });
  }

  /** Forgets the plans, and the weather is fine. */
  calm(): void {
    this.#plans.length = 0;
    this.weather = 'fine';
  }

  /** Ends one call under way, a drawn one unless its place is given. Whether there was one. */
  settle(place = this.pending.length === 0 ? 0 : this.#draw(this.pending.length)): boolean {
    const [call] = this.pending.splice(place, 1);
    call?.end();
    return call !== undefined;
  }

  /** Ends the oldest call of that kind (on that slot). */
  settleOf(op: Op, slot?: number): void {
    const place = this.pending.findIndex((call) => call.op === op && (slot === undefined || call.slot === slot));
    must(place !== -1, `no ${op} is under way`);
    this.settle(place);
  }

  /** Ends a call that hangs. Whether there was one. */
  release(): boolean {
    if (this.hung.length === 0) return false;
    const [call] = this.hung.splice(this.#draw(this.hung.length), 1);
    call?.end();
    return true;
  }

  /** The callers of all calls under way have given them up: nothing is settled by that. */
  giveUp(): void {
    for (const call of [...this.pending, ...this.hung]) {
      if (!call.late) this.failed[call.op] += 1;
      call.late = true;
    }
  }

  get underWay(): number {
    return this.pending.length + this.hung.length;
  }

  /** A store with the same slots, of which nobody knows yet, and that is calm unless a seed is given. Nothing may be under way. */
  copy(seed = this.#draw(2 ** 30)): ChaosStore {
    must(this.underWay === 0, 'a store is copied while it is at work');
    const copy = new ChaosStore({ mode: this.mode, slots: this.slots, seed, maxInFlight: this.#maxInFlight });
    for (const slot of this.owned) copy.owned.add(slot);
    for (const [slot, held] of this.#held) copy.#held.set(slot, { ...held });
    Object.assign(copy.failed, this.failed);
    copy.damaged = this.damaged;
    return copy;
  }

  /** Whether a slot begins as what was said to be written there: magic and version, number, generation and epoch. */
  begins(slot: number): boolean {
    const { bytes, said } = this.#held.get(slot) ?? {};
    if (bytes === undefined || said === undefined || bytes.length <= SLOT_HEADER) return false;
    return [
      [0, 5],
      [12, 24],
    ].every(([from, to]) => sameBytes(bytes.subarray(from, to), said.subarray(from, to)));
  }

  /** Nothing may be asked from now on. */
  seal(): void {
    this.#sealed = true;
  }

  /** Throws if a rule was broken. */
  verify(): void {
    must(this.#broken.length === 0, `the store was misused: ${this.#broken.join('; ')}`);
  }

  /** Slots that hold something, whatever the caller thinks. */
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
    if (!this.owned.has(slot)) this.#break(`slot ${slot} was freed, and not in use`);
    return this.#call('free', slot, () => void this.#held.delete(slot));
  }

  sync(): void | Promise<void> {
    return this.#call('sync', -1, () => undefined);
  }

  close(): void {
    this.#break('closed by somebody who does not own it');
  }

  // ── one call ───────────────────────────────────────────────────────────────

  #break(rule: string): void {
    this.#broken.push(rule);
  }

  #require(op: Op, slot: number): void {
    if (this.#sealed) this.#break(`${op} of slot ${slot} after close`);
    // The one call of close: those before it have ended or were given up.
    if (op === 'sync') {
      if ([...this.pending, ...this.hung].some(({ late }) => !late))
        this.#break('sync before the calls under way have ended');
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
    if (this.weather === 'full' && op === 'write') return 'full';
    if (this.weather === 'gone') return 'reject';
    return this.weather === 'stuck' ? 'hang' : due?.fault;
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

  /** The effect of a call, and what it answers. */
  #run<T>(op: Op, slot: number, fault: Fault | undefined, effect: (fault: Fault | undefined) => T, late = false): T {
    try {
      // 'undone' fails without an effect, the others after it or not.
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
        // It went to another slot in use, if there is one.
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
    // What is damaged is what does not begin with that which was written.
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
