/**
 * What the pinned histories of both front ends share: a store that fails, hangs and calls back as drawn, a codec that calls back,
 * calls that are still under way, and their answers, each under the number of its call (pin.ts).
 */
import type { Codec, Ram } from '../../bindings/index.ts';
import { PAGE_SIZE } from '../../bindings/index.ts';
import { ChaosStore, faultsOf, type Op } from '../front/chaos-store.ts';
import { TIMEOUT, quiet, type Clock } from '../front/clock.ts';
import { filledPage, pageOf, rawPage, trimZeros } from '../front/pages.ts';
import { codeOf, dice, type Pin } from './pin.ts';

const OPS: readonly Op[] = ['read', 'read', 'write', 'write', 'free', 'sync'];
/** Calls that callbacks make inside each other. */
const DEPTH = 2;

export abstract class FrontHistory {
  readonly draw;
  readonly ram: Ram;
  readonly store: ChaosStore | undefined;
  readonly #clock: Clock;
  readonly #answers: (() => unknown)[] = [];
  #underWay = 0;
  #last = 0;
  #depth = 0;

  constructor(ram: Ram, clock: Clock, seed: number, mode: 'sync' | 'async' | undefined, maxInFlight: number) {
    this.ram = ram;
    this.#clock = clock;
    this.draw = dice(1000 + seed);
    this.store = mode && new ChaosStore({ mode, slots: 40, seed, maxInFlight });
    if (this.store !== undefined) this.store.inside = () => this.#inside();
  }

  /** One action of the caller's; `nested` while foreign code runs. */
  abstract act(nested: boolean): void;

  /** What there is to say of it when nothing is under way. */
  abstract figures(): unknown;

  /** Ends it: what is left of it in the RAM is looked at then. */
  abstract close(): Promise<void>;

  async play(steps: number): Promise<void> {
    for (let step = 0; step < steps; step++) {
      const kind = this.draw(12);
      if (kind < 7 || this.store === undefined) this.act(false);
      else if (kind < 10) this.store.settle();
      else if (kind === 10) this.#trouble(this.store);
      else if (this.draw(4) === 0) this.#pass(this.store);
      await quiet();
    }
  }

  /** Makes another front end on the same store, and closes it. */
  abstract another(): Promise<void>;

  /** Closes it, half of the time while calls are under way, and gives what came of the history. */
  async end(pin: Pin): Promise<void> {
    const { store } = this;
    if (this.draw(2) === 0) await this.#rest();
    this.answer(() => this.figures());
    this.ram.check();
    const closed = this.close();
    let isClosed = false;
    closed.catch(() => undefined).finally(() => (isClosed = true));
    this.later(closed);
    this.act(false);
    while (!isClosed) {
      await quiet();
      // What hangs is not waited for.
      if (!isClosed && store?.settle() !== true) this.#pass(store);
    }
    this.later(this.another());
    await this.#rest();
    this.later(this.another());
    await this.#rest();
    for (const answer of this.#answers) pin.value(answer());
    store?.verify();
    pin.value(store?.calls);
    pin.word(store?.used ?? 0);
    pin.ram(this.ram);
  }

  // ── answers ────────────────────────────────────────────────────────────────

  /** Notes what a call answers, or the code of what it throws. */
  answer(call: () => unknown): void {
    let answer: unknown;
    try {
      answer = call();
    } catch (error) {
      answer = codeOf(error);
    }
    this.#answers.push(() => answer);
  }

  /** The same of a call that waits. Unsettled ones say so. */
  later(call: Promise<unknown>): void {
    let answer: unknown = 'under way';
    this.#underWay += 1;
    this.#answers.push(() => answer);
    call
      .then(
        (value) => (answer = value ?? 'done'),
        (error: unknown) => (answer = codeOf(error)),
      )
      .finally(() => (this.#underWay -= 1))
      .catch(() => undefined);
  }

  /** What a call has put into a page. */
  filled(into: Uint8Array): void {
    this.#answers.push(() => [into[0], into[700], into[PAGE_SIZE - 1]]);
  }

  // ── foreign code ───────────────────────────────────────────────────────────

  /** The page that an action is about; that of foreign code is often the one that it is called for. */
  place(pages: number, nested: boolean): number {
    if (nested && this.draw(2) === 0) return this.#last;
    const at = this.draw(pages);
    if (!nested) this.#last = at;
    return at;
  }

  page(): Uint8Array {
    const seed = this.draw(500);
    const kind = this.draw(6);
    if (kind === 0) return rawPage(seed);
    return kind === 1 ? filledPage(seed) : pageOf(seed, 40 + this.draw(2200));
  }

  /** A codec that leaves out the zeros at the end, calls back, and fails now and then. */
  codec(name: string): Codec {
    return {
      name,
      compress: (page, into) => {
        this.#inside();
        if (this.draw(40) === 0) throw new Error('the codec failed');
        return trimZeros(page, into);
      },
      decompress: (block, into) => {
        this.#inside();
        into.set(block);
        return this.draw(60) === 0 ? 7 : PAGE_SIZE;
      },
    };
  }

  #inside(): void {
    if (this.#depth === DEPTH || this.draw(4) !== 0) return;
    this.#depth += 1;
    this.act(true);
    this.#depth -= 1;
  }

  #trouble(store: ChaosStore): void {
    const kind = this.draw(12);
    if (kind === 0) store.condition = (['full', 'gone', 'fine'] as const)[this.draw(3)] as 'fine';
    else if (kind < 4) store.recover();
    else if (kind < 6) this.ram.failFrames(this.draw(6), 1 + this.draw(3));
    else {
      const op = OPS[this.draw(OPS.length)] as Op;
      // A synchronous store that hangs would be one that never returns.
      const faults = faultsOf(op).filter((fault) => fault !== 'hang' || store.mode === 'async');
      store.plan(op, faults[this.draw(faults.length)] as 'reject', this.draw(3));
    }
  }

  /** Time passes: calls that were under way are given up. Or one that hangs ends. */
  #pass(store: ChaosStore | undefined): void {
    if (store === undefined) return;
    if (this.draw(2) === 0) {
      store.release();
      return;
    }
    store.giveUp();
    this.#clock.pass(TIMEOUT);
  }

  async #rest(): Promise<void> {
    this.ram.failFrames(null);
    this.store?.recover();
    for (let turns = 0; turns < 400; turns++) {
      await quiet();
      if (this.store?.settle() !== true && this.store?.release() !== true && this.#underWay === 0) return;
      if (this.store?.underWay === 0 && turns > 200) this.#clock.pass(TIMEOUT);
    }
  }
}
