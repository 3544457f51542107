/** What both front ends have in common, by itself: calls of a store that hang, slots that are freed, steps that are undone, codecs by number. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { BackingStore } from '../../bindings/index.ts';
import { ForeignCodec } from '../../bindings/codec/foreign.ts';
import { withUndo, releaseStore, releaseWhenEnded, takeStore } from '../../bindings/front/common/attach.ts';
import { ForeignCodecs } from '../../bindings/front/common/codecs.ts';
import { SlotFrees } from '../../bindings/front/common/slot-frees.ts';
import { StoreIo, bytesRead } from '../../bindings/front/common/store-io.ts';
import type { Core } from '../../bindings/wasm.ts';
import { Clock, TIMEOUT, quiet } from './clock.ts';
import { codeOf } from './pages.ts';

const clock = new Clock();
beforeEach(() => void clock.install());
afterEach(() => clock.restore());

/** A call that ends when it is told to. */
interface Given {
  call: () => Promise<unknown>;
  end: (value?: unknown) => void;
  fail: (error: unknown) => void;
}

function given(): Given {
  let end: Given['end'] = () => undefined;
  let fail: Given['fail'] = () => undefined;
  const promise = new Promise<unknown>((resolve, reject) => {
    end = resolve;
    fail = reject;
  });
  return { call: () => promise, end, fail };
}

/** What a promise has come to by now. */
async function state(promise: Promise<unknown>): Promise<unknown> {
  let is: unknown = 'waits';
  promise.then(
    (value) => (is = value ?? 'done'),
    (error: unknown) => (is = (error as { code: string }).code),
  );
  await quiet();
  return is;
}

const store = (mode: 'sync' | 'async'): BackingStore => ({ mode }) as unknown as BackingStore;
const asyncIo = (maxInFlight: number, changed = (): void => undefined): StoreIo =>
  new StoreIo(store('async'), maxInFlight, TIMEOUT, changed);

describe('calls of an asynchronous store', () => {
  test('that end: their values and failures, and no timer is left', async () => {
    const io = asyncIo(2);
    const [good, bad] = [given(), given()];
    const outcomes = [io.soon('op', good.call), io.soon('op', bad.call)];
    expect([io.inFlight, io.hasRoom, io.isAtWork, clock.size]).toEqual([2, false, true, 2]);
    good.end(7);
    bad.fail(Object.assign(new Error('gone'), { code: 'ENOENT' }));
    expect(await outcomes[0]).toEqual({ value: 7 });
    expect(await outcomes[1]).toMatchObject({ failure: { code: 'EIO' }, notFound: true });
    expect([io.inFlight, io.hasRoom, io.isAtWork, clock.size]).toEqual([0, true, false, 0]);
    expect(
      await io.soon('op', () => Promise.reject(Object.assign(new Error('full'), { code: 'ENOSPC' }))),
    ).toMatchObject({
      failure: { code: 'ENOSPC' },
    });
  });

  test('that hang: EIO to the millisecond, they count until they end, and who waits is told when all do', async () => {
    let changes = 0;
    const io = asyncIo(2, () => (changes += 1));
    const calls = [given(), given()];
    const first = io.soon('op', (calls[0] as Given).call);
    clock.pass(1);
    const second = io.soon('op', (calls[1] as Given).call);
    const [room, idle, ended] = [io.room('op'), io.idle(), io.ended()];
    clock.pass(TIMEOUT - 2);
    expect(await state(first)).toBe('waits');
    clock.pass(1);
    expect(await first).toMatchObject({ failure: { code: 'EIO' } });
    expect([io.inFlight, io.allHang, io.hasRoom]).toEqual([2, false, false]);
    expect(await state(room)).toBe('done'); // others may have been first: it is asked again
    expect(await state(idle)).toBe('waits');
    const again = io.room('op');
    clock.pass(1);
    await second;
    expect([io.inFlight, io.allHang]).toEqual([2, true]);
    expect(await state(again)).toBe('EIO');
    expect(await state(io.room('op'))).toBe('EIO');
    expect([await state(idle), await state(ended)]).toEqual(['done', 'waits']);
    changes = 0;
    (calls[0] as Given).end();
    await quiet();
    expect([io.inFlight, io.allHang, io.hasRoom, changes]).toEqual([1, false, true, 1]);
    expect(await state(ended)).toBe('waits');
    // One more may be made, and with the one that hangs still that is all.
    const third = given();
    const outcome = io.soon('op', third.call);
    const waiting = io.room('op');
    expect(io.hasRoom).toBe(false);
    (calls[1] as Given).fail(new Error('late'));
    expect(await state(waiting)).toBe('done');
    expect([io.inFlight, io.allHang]).toEqual([1, false]);
    third.end(3);
    expect(await outcome).toEqual({ value: 3 });
    expect(await state(ended)).toBe('done');
    expect([io.inFlight, io.isAtWork]).toEqual([0, false]);
  });

  test('idle waits for those that are begun while it waits, too', async () => {
    const io = asyncIo(4);
    const [one, two] = [given(), given()];
    void io.soon('op', one.call);
    const idle = io.idle();
    void io.soon('op', two.call);
    one.end();
    expect(await state(idle)).toBe('waits');
    two.end();
    expect(await state(idle)).toBe('done');
  });
});

describe('calls of a synchronous store', () => {
  test('are at work while they run, however they end', () => {
    const io = new StoreIo(store('sync'), 1, TIMEOUT, () => undefined);
    const seen: boolean[] = [];
    expect(io.now('op', () => (seen.push(io.isAtWork), 4))).toEqual({ value: 4 });
    io.now('op', () => {
      seen.push(io.isAtWork);
      io.now('op', () => 1);
      seen.push(io.isAtWork);
      throw new Error('no');
    });
    expect([...seen, io.isAtWork, io.hasRoom]).toEqual([true, true, true, false, true]);
  });

  test('that give a Promise have failed, and it is known when that has ended', async () => {
    const io = new StoreIo(store('sync'), 1, TIMEOUT, () => undefined);
    const call = given();
    const outcome = io.now('op', call.call);
    expect(outcome).toMatchObject({ failure: { code: 'EIO' } });
    const { late } = outcome as { late: Promise<void> };
    expect(await state(late)).toBe('waits');
    call.fail(new Error('no'));
    expect(await state(late)).toBe('done');
  });

  test.each([
    [100, 100],
    [4096, 4096],
    [4128, 4128],
    [4129, 4128],
    [2 ** 31, 4128],
    [-1, 4128],
    [undefined, 4128],
    ['100', 4128],
  ])('a read that says %s has brought %i bytes', (says, bytes) => {
    expect(bytesRead('op', { value: says }, new Uint8Array(4128))).toBe(bytes);
  });
});

/** Slots that are to be freed, in place of the core. */
function slots(): { core: Core; toFree: Uint32Array; queue: number[]; freed: number[] } {
  const memory = { buffer: new ArrayBuffer(64) };
  const toFree = new Uint32Array(memory.buffer, 0, 1);
  const queue: number[] = [];
  const freed: number[] = [];
  const exports = {
    frontToFreeAt: () => 0,
    frontFreeing: () => {
      toFree[0] = queue.length - 1;
      return queue.shift();
    },
    frontFreed: (_: number, slot: number) => void freed.push(slot),
  };
  return { core: { memory, exports } as unknown as Core, toFree, queue, freed };
}

describe('slots that are freed', () => {
  function begun(maxInFlight: number, mode: 'sync' | 'async' = 'async') {
    const parts = slots();
    const calls = new Map<number, Given>();
    const source = {
      mode,
      free: (slot: number) => {
        const call = given();
        calls.set(slot, call);
        return call.call();
      },
    } as unknown as BackingStore;
    let isGone = false;
    let changed = (): void => undefined;
    const io = new StoreIo(source, maxInFlight, TIMEOUT, () => changed());
    const frees = new SlotFrees(io, parts.core, 4096, () => isGone);
    changed = () => frees.storeChanged();
    const doom = (...these: number[]): void => {
      parts.queue.push(...these);
      parts.toFree[0] = parts.queue.length;
      frees.drain();
    };
    return { ...parts, calls, io, frees, doom, leave: () => (isGone = true) };
  }

  test('as many at a time as there is room for, each free once its call has ended, however that ends', async () => {
    const { calls, freed, doom, frees } = begun(2);
    doom(1, 2, 3);
    expect([...calls.keys()]).toEqual([1, 2]);
    const waits = frees.freed();
    calls.get(2)?.fail(new Error('no'));
    expect(await state(waits)).toBe(true);
    expect([freed, [...calls.keys()]]).toEqual([[2], [1, 2, 3]]);
    calls.get(1)?.end();
    calls.get(3)?.end();
    await quiet();
    expect(freed).toEqual([2, 1, 3]);
    expect(await frees.freed()).toBe(false); // none is to come
  });

  test('one that hangs is not free before it has ended; nobody waits for it, and then it is', async () => {
    const { calls, freed, doom, frees } = begun(2);
    doom(1);
    const waits = frees.freed();
    clock.pass(TIMEOUT);
    expect(await state(waits)).toBe(true); // it is asked again
    expect(await frees.freed()).toBe(false);
    expect(freed).toEqual([]);
    calls.get(1)?.end();
    await quiet();
    expect(freed).toEqual([1]);
    // As at the beginning: one more is waited for.
    doom(5);
    const next = frees.freed();
    expect(await state(next)).toBe('waits');
    calls.get(5)?.end();
    expect(await state(next)).toBe(true);
  });

  test('who waits for a slot goes on when all calls of the store hang', async () => {
    const { calls, io, doom, frees } = begun(1);
    const other = given();
    void io.soon('op', other.call);
    doom(1); // there is no room for its call
    expect(calls.size).toBe(0);
    const waits = frees.freed();
    expect(await state(waits)).toBe('waits');
    clock.pass(TIMEOUT);
    expect(await state(waits)).toBe(true);
    expect(await frees.freed()).toBe(false);
    other.end();
    await quiet();
    expect([...calls.keys()]).toEqual([1]);
  });

  test('a synchronous store that gives a Promise has freed none before that has ended', async () => {
    const { calls, freed, doom } = begun(1, 'sync');
    doom(1, 2);
    expect([freed, [...calls.keys()]]).toEqual([[], [1, 2]]);
    calls.get(2)?.fail(new Error('no'));
    await quiet();
    expect(freed).toEqual([2]);
  });

  test('of a front end that is gone the core is told nothing', async () => {
    const { calls, freed, doom, frees, leave } = begun(2);
    doom(1);
    leave();
    calls.get(1)?.end();
    await quiet();
    doom(2);
    expect([freed, [...calls.keys()], await frees.freed()]).toEqual([[], [1], false]);
  });
});

describe('a front end comes and goes', () => {
  test('of steps that fail the earlier ones are undone, the last one first', () => {
    const undone: number[] = [];
    const make = (undo: (step: () => void) => void): never => {
      for (const n of [1, 2, 3]) undo(() => undone.push(n));
      throw new Error('no');
    };
    expect(() => withUndo(make)).toThrow('no');
    expect(undone).toEqual([3, 2, 1]);
    expect(withUndo((undo) => (undo(() => undone.push(9)), 5))).toBe(5);
    expect(undone).toEqual([3, 2, 1]);
  });

  test('a store is for one at a time, until the last call of it has ended', async () => {
    const io = asyncIo(1);
    takeStore('op', io.store);
    expect(codeOf(() => takeStore('op', io.store))).toBe('EBUSY');
    const call = given();
    void io.soon('op', call.call);
    releaseWhenEnded(io);
    clock.pass(TIMEOUT);
    await quiet();
    expect(codeOf(() => takeStore('op', io.store))).toBe('EBUSY');
    call.end();
    await quiet();
    takeStore('op', io.store);
    releaseStore(io.store);
    takeStore('op', io.store);
    releaseWhenEnded(io);
    takeStore('op', io.store);
  });

  test('codecs keep their numbers, up to the last one', () => {
    const codec = (name: string): ForeignCodec =>
      new ForeignCodec('op', { name, compress: () => 0, decompress: () => 0 });
    const codecs = new ForeignCodecs();
    const [a, b] = [codec('a'), codec('b')];
    const first = codecs.numberOf('op', a);
    codecs.keep(first, a);
    expect(codecs.numberOf('op', b)).toBe(first + 1);
    codecs.keep(first, b); // that number is taken
    expect([codecs.nameOf(first), codecs.numberOf('op', a), codecs.has(first), codecs.has(first + 1)]).toEqual([
      'a',
      first,
      true,
      false,
    ]);
    let last = first;
    for (let n = 1; n < 254; n++) codecs.keep((last = codecs.numberOf('op', codec(`c${n}`)) || last), codec(`c${n}`));
    expect(last).toBe(first + 253);
    expect(codeOf(() => codecs.numberOf('op', b))).toBe('EBUSY');
    expect(codecs.numberOf('op', a)).toBe(first);
  });
});
