/**
 * The common parts of the pinned histories of both front ends: a store that fails, hangs and calls back at random, a codec
 * that calls back, and calls that are under way. Each answer is recorded with the number of its call (pin.ts).
 */
import type { Codec, Ram } from '../../bindings/index.ts';
import { PAGE_SIZE } from '../../bindings/index.ts';
import { ChaosStore, faultsOf, type Op } from '../front/chaos-store.ts';
import { TIMEOUT, quiet, type Clock } from '../front/clock.ts';
import { filledPage, pageOf, rawPage, trimZeros } from '../front/pages.ts';
import { codeOf, dice, type Pin } from './pin.ts';

const OPS: readonly Op[] = ['read', 'read', 'write', 'write', 'free', 'sync'];
/** The most calls that callbacks make inside each other. */
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

  /** Does one action of the caller. `nested` is true while foreign code runs. */
  abstract act(nested: boolean): void;

  /** Records the figures of the front end. Nothing is under way. */
  abstract figures(): unknown;

  /** Closes the front end. What is left in the RAM is recorded afterwards. */
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

  /** Makes another front end with the same store, and closes it. */
  abstract another(): Promise<void>;

  /** Closes the front end, in half of the histories while calls are under way. @returns the number of the history */
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
      // Do not wait for calls that hang.
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

  /** Records the answer of a call, or the code of its error. */
  answer(call: () => unknown): void {
    let answer: unknown;
    try {
      answer = call();
    } catch (error) {
      answer = codeOf(error);
    }
    this.#answers.push(() => answer);
  }

  /** The same for a call that waits. It is recorded as open until it settles. */
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

  /** Records the page that a call has filled. */
  filled(into: Uint8Array): void {
    this.#answers.push(() => [into[0], into[700], into[PAGE_SIZE - 1]]);
  }

  // ── foreign code ───────────────────────────────────────────────────────────

  /** The page of an action. An action of foreign code often uses the page for which the code was called. */
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

  /** A codec that leaves out the zeros at the end. It calls back, and sometimes fails. */
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
      // A synchronous store cannot hang: it would never return.
      const faults = faultsOf(op).filter((fault) => fault !== 'hang' || store.mode === 'async');
      store.plan(op, faults[this.draw(faults.length)] as 'reject', this.draw(3));
    }
  }

  /** Lets the timeout of the calls under way pass, or ends a call that hangs. */
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
