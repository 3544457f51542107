/**
 * Slots that are being freed: the store is told of each once, and the slot is free when this call has ended, however it
 * ends.
 */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { NO_SLOT } from '../../assembly/abi.ts';
import type { BackingStore } from '../../bindings/index.ts';
import { SlotFrees } from '../../bindings/front/common/slot-frees.ts';
import { StoreIo } from '../../bindings/front/common/store-io.ts';
import type { Core } from '../../bindings/wasm.ts';
import { Clock, TIMEOUT, quiet } from './clock.ts';
import { heldCall, stateOf, type HeldCall } from './held-calls.ts';

const clock = new Clock();
beforeEach(() => void clock.install());
afterEach(() => clock.restore());

const ADDRESS = 4096;

/** The slots of a front end in the core, with a store that is told to free them. */
class Subject {
  /** Slots that are free again in the core, in order. */
  readonly freed: number[] = [];
  /** Slots that the store was told to free, in order. */
  readonly told: number[] = [];
  readonly frees: SlotFrees;
  readonly io: StoreIo;
  isGone = false;
  readonly #waiting: number[] = [];
  readonly #counted = new Uint32Array(1);

  /** @param free what the store does to free a slot */
  constructor(mode: 'sync' | 'async', free: (slot: number) => unknown, maxInFlight = 2) {
    const store = { mode, free: (slot: number) => (this.told.push(slot), free(slot)) };
    this.io = new StoreIo(store as BackingStore, maxInFlight, TIMEOUT, () => this.frees.storeChanged());
    const exports = {
      frontToFreeAt: () => 0,
      frontFreeing: (front: number) => {
        expect(front).toBe(ADDRESS);
        const slot = this.#waiting.shift();
        if (slot !== undefined) this.#counted[0] = this.#waiting.length;
        return slot ?? NO_SLOT | 0; // unsigned, as wasm gives numbers
      },
      frontFreed: (_front: number, slot: number) => void this.freed.push(slot),
    };
    const core = { memory: { buffer: this.#counted.buffer }, exports } as unknown as Core;
    this.frees = new SlotFrees(this.io, core, ADDRESS, () => this.isGone);
  }

  /** The front end no longer needs these slots. */
  release(...slots: number[]): this {
    this.#waiting.push(...slots);
    this.#counted[0] = this.#waiting.length;
    return this;
  }
}

/** A store whose frees end when a test says so, by slot. */
function held(mode: 'sync' | 'async', maxInFlight = 2): { calls: Map<number, HeldCall>; subject: Subject } {
  const calls = new Map<number, HeldCall>();
  const free = (slot: number): Promise<unknown> => {
    const held = heldCall();
    calls.set(slot, held);
    return held.call();
  };
  return { calls, subject: new Subject(mode, free, maxInFlight) };
}

describe('a synchronous store', () => {
  test('is told of each slot at once; the slot is free whether this call fails or not', () => {
    const subject = new Subject('sync', (slot) => {
      if (slot === 2) throw new Error('no');
    });
    subject.release(1, 2, 3).frees.drain();
    expect([subject.told, subject.freed]).toEqual([
      [1, 2, 3],
      [1, 2, 3],
    ]);
  });

  test('that returns a promise keeps the slot until the promise has settled', async () => {
    const { calls, subject } = held('sync');
    subject.release(1).frees.drain();
    await quiet();
    expect(subject.freed).toEqual([]);
    calls.get(1)?.fail(new Error('no'));
    await quiet();
    expect(subject.freed).toEqual([1]);
  });

  test('is not called after the front end is gone', () => {
    const subject = new Subject('sync', () => {});
    subject.release(1).isGone = true;
    subject.frees.drain();
    expect(subject.told).toEqual([]);
  });
});

describe('an asynchronous store', () => {
  test('is told of at most maxInFlight slots at once, and of the next when a call has ended', async () => {
    const { calls, subject } = held('async');
    subject.release(1, 2, 3, 4).frees.drain();
    expect(subject.told).toEqual([1, 2]);
    calls.get(2)?.end();
    await quiet();
    expect([subject.told, subject.freed]).toEqual([[1, 2, 3], [2]]);
    calls.get(1)?.fail(new Error('no'));
    calls.get(3)?.end();
    await quiet();
    calls.get(4)?.end();
    await quiet();
    expect([subject.told, [...subject.freed].sort(), subject.io.inFlight]).toEqual([[1, 2, 3, 4], [1, 2, 3, 4], 0]);
  });

  test('freed() waits for a call under way, and not when there is none', async () => {
    const { calls, subject } = held('async');
    expect(await subject.frees.freed()).toBe(false);
    subject.release(1).frees.drain();
    let isOver = false;
    const freed = subject.frees.freed().then((found) => ((isOver = true), found));
    await quiet();
    expect(isOver).toBe(false);
    calls.get(1)?.end();
    expect([await freed, subject.freed]).toEqual([true, [1]]);
    expect(await subject.frees.freed()).toBe(false);
  });

  test('that hangs keeps the slot until the call ends; freed() does not wait for it', async () => {
    const { calls, subject } = held('async');
    subject.release(1).frees.drain();
    const freed = subject.frees.freed();
    clock.pass(TIMEOUT);
    expect([await freed, subject.freed]).toEqual([true, []]); // true: ask again; the next call tells that there is none
    expect(await subject.frees.freed()).toBe(false);
    calls.get(1)?.end();
    await quiet();
    expect([subject.freed, subject.io.inFlight]).toEqual([[1], 0]);
  });

  test('all of whose calls hang gets no more calls, until one has ended', async () => {
    const { calls, subject } = held('async');
    subject.release(1, 2, 3).frees.drain();
    const freed = subject.frees.freed();
    clock.pass(TIMEOUT);
    expect([await freed, await subject.frees.freed(), subject.told]).toEqual([true, false, [1, 2]]);
    calls.get(1)?.end();
    await quiet();
    expect([subject.told, subject.freed]).toEqual([[1, 2, 3], [1]]);
    calls.get(2)?.end();
    calls.get(3)?.end();
    await quiet();
    expect([...subject.freed].sort()).toEqual([1, 2, 3]);
  });

  test('that answers after the front end is gone changes nothing in the RAM', async () => {
    const { calls, subject } = held('async');
    subject.release(1, 2, 3).frees.drain();
    subject.isGone = true;
    for (const { end } of calls.values()) end();
    await quiet();
    expect([subject.told, subject.freed, subject.io.inFlight]).toEqual([[1, 2], [], 0]);
  });
});

describe('both kinds of stores', () => {
  test('as many calls at a time as there is room for; a slot is free when its call has ended, also with an error', async () => {
    const { calls, subject } = held('async', 2);
    subject.release(1, 2, 3).frees.drain();
    expect([...calls.keys()]).toEqual([1, 2]);
    const waits = subject.frees.freed();
    calls.get(2)?.fail(new Error('no'));
    expect(await stateOf(waits)).toBe(true);
    expect([subject.freed, [...calls.keys()]]).toEqual([[2], [1, 2, 3]]);
    calls.get(1)?.end();
    calls.get(3)?.end();
    await quiet();
    expect(subject.freed).toEqual([2, 1, 3]);
    expect(await subject.frees.freed()).toBe(false); // no call is under way
  });

  test('a slot whose call hangs is free when the call ends; freed() does not wait for it', async () => {
    const { calls, subject } = held('async', 2);
    subject.release(1).frees.drain();
    const waits = subject.frees.freed();
    clock.pass(TIMEOUT);
    expect(await stateOf(waits)).toBe(true); // the caller calls freed() again
    expect(await subject.frees.freed()).toBe(false);
    expect(subject.freed).toEqual([]);
    calls.get(1)?.end();
    await quiet();
    expect(subject.freed).toEqual([1]);
    // Now freed() waits for the next call as before.
    subject.release(5).frees.drain();
    const next = subject.frees.freed();
    expect(await stateOf(next)).toBe('open');
    calls.get(5)?.end();
    expect(await stateOf(next)).toBe(true);
  });

  test('freed() ends when all calls of the store hang', async () => {
    const { calls, subject } = held('async', 1);
    const other = heldCall();
    void subject.io.soon('op', other.call);
    subject.release(1).frees.drain(); // no room for its call
    expect(calls.size).toBe(0);
    const waits = subject.frees.freed();
    expect(await stateOf(waits)).toBe('open');
    clock.pass(TIMEOUT);
    expect(await stateOf(waits)).toBe(true);
    expect(await subject.frees.freed()).toBe(false);
    other.end();
    await quiet();
    expect([...calls.keys()]).toEqual([1]);
  });

  test('a synchronous store that returns promises: each slot is free when its promise has settled', async () => {
    const { calls, subject } = held('sync', 1);
    subject.release(1, 2).frees.drain();
    expect([subject.freed, [...calls.keys()]]).toEqual([[], [1, 2]]);
    calls.get(2)?.fail(new Error('no'));
    await quiet();
    expect(subject.freed).toEqual([2]);
  });

  test('after the front end is gone, the core is told nothing', async () => {
    const { calls, subject } = held('async', 2);
    subject.release(1).frees.drain();
    subject.isGone = true;
    calls.get(1)?.end();
    await quiet();
    subject.release(2).frees.drain();
    expect([subject.freed, [...calls.keys()], await subject.frees.freed()]).toEqual([[], [1], false]);
  });
});
