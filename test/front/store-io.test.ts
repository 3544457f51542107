/** The calls of a store: the most at once, waiting for room, calls that hang, and the answers of a store. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { BackingStore } from '../../bindings/index.ts';
import { StoreIo, bytesRead, type Outcome } from '../../bindings/front/common/store-io.ts';
import { runSync } from '../../bindings/steps.ts';
import { Clock, TIMEOUT, quiet } from './clock.ts';
import { heldCall, stateOf, type HeldCall } from './held-calls.ts';

const clock = new Clock();
beforeEach(() => void clock.install());
afterEach(() => clock.restore());

/** The calls of a store of this mode, and how often it reported a change. */
function create(mode: 'sync' | 'async', maxInFlight = 2): { io: StoreIo; changes: () => number } {
  let changes = 0;
  const io = new StoreIo({ mode } as BackingStore, maxInFlight, TIMEOUT, () => void (changes += 1));
  return { io, changes: () => changes };
}

function codeOf(outcome: Outcome<unknown>): string {
  return 'failure' in outcome ? outcome.failure.code : 'value';
}

/** Throws when any property is read. */
const evil = new Proxy({}, { get: () => thrower(), getPrototypeOf: () => thrower() });
function thrower(): never {
  throw new Error('looked at');
}

describe('a synchronous store', () => {
  test('answers at once, and is at work only during the call', () => {
    const { io } = create('sync');
    const seen: boolean[] = [];
    expect(io.now('x', () => (seen.push(io.isAtWork), 7))).toEqual({ value: 7 });
    expect([seen, io.isAtWork, io.inFlight]).toEqual([[true], false, 0]);
  });

  test('that returns a promise has failed, and the call is late until the promise has settled', async () => {
    const { io } = create('sync');
    const given = heldCall();
    const outcome = io.now('x', given.call);
    if (!('failure' in outcome) || outcome.late === undefined) throw new Error('the call is not late');
    expect([outcome.failure.code, await stateOf(outcome.late)]).toEqual(['EIO', 'open']);
    given.fail(new Error('in vain'));
    expect(await stateOf(outcome.late)).toBe('done');
  });

  test.each([
    ['an error', new Error('broken'), 'EIO', false],
    ['an error of a full store', Object.assign(new Error('full'), { code: 'ENOSPC' }), 'ENOSPC', undefined],
    ['that the slot is empty', { code: 'ENOENT', message: 'none' }, 'EIO', true],
    ['undefined', undefined, 'EIO', false],
    ['an object that cannot be read', evil, 'EIO', false],
  ])('that throws %s fails', (_, thrown, code, notFound) => {
    const { io } = create('sync');
    const outcome = io.now('x', () => {
      throw thrown;
    });
    if (!('failure' in outcome)) throw new Error('the call has not failed');
    expect([outcome.failure.code, outcome.failure.op, outcome.notFound]).toEqual([code, 'x', notFound]);
    expect(io.isAtWork).toBe(false);
  });

  test('gives the same answer to answer(), soon() and now()', async () => {
    const { io } = create('sync');
    expect(runSync(io.answer('x', () => 1))).toEqual({ value: 1 });
    expect(await io.soon('x', () => 2)).toEqual({ value: 2 });
  });

  test('is at work while a call runs, however the call ends', () => {
    const io = create('sync', 1).io;
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

  test('that returns a promise: the end of this promise is known', async () => {
    const io = create('sync', 1).io;
    const call = heldCall();
    const outcome = io.now('op', call.call);
    expect(outcome).toMatchObject({ failure: { code: 'EIO' } });
    const { late } = outcome as { late: Promise<void> };
    expect(await stateOf(late)).toBe('open');
    call.fail(new Error('no'));
    expect(await stateOf(late)).toBe('done');
  });
});

describe('an asynchronous store', () => {
  test('is called before soon() returns, and the call counts until it has been answered', async () => {
    const { io, changes } = create('async');
    const given = heldCall();
    let called = false;
    const soon = io.soon('x', () => ((called = true), given.call()));
    expect([called, io.inFlight, io.hasRoom, io.isAtWork]).toEqual([true, 1, true, true]);
    given.end(5);
    expect(await soon).toEqual({ value: 5 });
    expect([io.inFlight, io.isAtWork, changes(), clock.size]).toEqual([0, false, 1, 0]);
  });

  test('may return a value without a promise, throw, or reject', async () => {
    const { io } = create('async');
    expect(await io.soon('x', () => 3)).toEqual({ value: 3 });
    expect(codeOf(await io.soon('x', () => thrower()))).toBe('EIO');
    expect(codeOf(await io.soon('x', () => Promise.reject({ code: 'ENOSPC' })))).toBe('ENOSPC');
    expect([io.inFlight, clock.size]).toEqual([0, 0]);
  });

  test('room() waits until a call has ended', async () => {
    const { io } = create('async');
    const given = [heldCall(), heldCall()];
    const calls = given.map(({ call }) => io.soon('x', call));
    expect(io.hasRoom).toBe(false);
    const room = io.room('x');
    expect(await stateOf(room)).toBe('open');
    given[1]?.end(1);
    expect([await stateOf(room), io.hasRoom, io.inFlight]).toEqual(['done', true, 1]);
    given[0]?.end(1);
    await Promise.all(calls);
  });

  test('that does not answer in time fails, and the call counts until it has been answered', async () => {
    const { io, changes } = create('async');
    const given = heldCall();
    const soon = io.soon('x', given.call);
    clock.pass(TIMEOUT);
    const outcome = await soon;
    if (!('failure' in outcome) || outcome.late === undefined) throw new Error('the call is not late');
    expect([outcome.failure.code, io.inFlight, io.allHang, changes()]).toEqual(['EIO', 1, false, 1]);
    expect([await stateOf(outcome.late), await stateOf(io.idle()), await stateOf(io.ended())]).toEqual([
      'open',
      'done',
      'open',
    ]);
    given.fail(new Error('at last'));
    expect(await stateOf(outcome.late)).toBe('done');
    expect([io.inFlight, changes()]).toEqual([0, 2]);
  });

  test('all of whose calls hang has no room: room() is EIO until a call has ended', async () => {
    const { io } = create('async');
    const given = [heldCall(), heldCall()];
    const begin = (nth: number): Promise<Outcome<unknown>> => io.soon('x', () => (given[nth] as HeldCall).call());
    const first = begin(0);
    clock.pass(TIMEOUT);
    expect([codeOf(await first), io.allHang, io.hasRoom]).toEqual(['EIO', false, true]);
    const second = begin(1);
    const [room, idle, ended] = [io.room('mine'), io.idle(), io.ended()];
    room.catch(() => {});
    clock.pass(TIMEOUT);
    expect(codeOf(await second)).toBe('EIO');
    expect([await stateOf(room), await stateOf(idle), await stateOf(ended), io.allHang]).toEqual([
      'EIO',
      'done',
      'open',
      true,
    ]);
    await expect(io.room('other')).rejects.toMatchObject({ code: 'EIO', op: 'other' });
    given[0]?.end(1);
    await quiet();
    expect([io.allHang, io.hasRoom, await stateOf(ended)]).toEqual([false, true, 'open']);
    given[1]?.end(1);
    expect([await stateOf(ended), io.inFlight]).toEqual(['done', 0]);
  });

  test('that settles a promise twice has answered once', async () => {
    const { io } = create('async');
    const twice = {
      then(resolve: (value: number) => void, reject: (cause: unknown) => void): void {
        resolve(1);
        resolve(2);
        reject(new Error('three'));
      },
    };
    expect(await io.soon('x', () => twice as Promise<number>)).toEqual({ value: 1 });
    expect(io.inFlight).toBe(0);
  });

  test('calls that end give their values and failures, and leave no timer', async () => {
    const { io } = create('async', 2);
    const [good, bad] = [heldCall(), heldCall()];
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

  test('calls that hang are EIO after exactly the timeout and count until they end; waiting calls are EIO when all hang', async () => {
    const { io, changes } = create('async');
    const calls = [heldCall(), heldCall()];
    const first = io.soon('op', (calls[0] as HeldCall).call);
    clock.pass(1);
    const second = io.soon('op', (calls[1] as HeldCall).call);
    const [room, idle, ended] = [io.room('op'), io.idle(), io.ended()];
    clock.pass(TIMEOUT - 2);
    expect(await stateOf(first)).toBe('open');
    clock.pass(1);
    expect(await first).toMatchObject({ failure: { code: 'EIO' } });
    expect([io.inFlight, io.allHang, io.hasRoom]).toEqual([2, false, false]);
    expect(await stateOf(room)).toBe('done'); // other calls may have been first: the caller tests hasRoom again
    expect(await stateOf(idle)).toBe('open');
    const again = io.room('op');
    clock.pass(1);
    await second;
    expect([io.inFlight, io.allHang]).toEqual([2, true]);
    expect(await stateOf(again)).toBe('EIO');
    expect(await stateOf(io.room('op'))).toBe('EIO');
    expect([await stateOf(idle), await stateOf(ended)]).toEqual(['done', 'open']);
    const before = changes();
    (calls[0] as HeldCall).end();
    await quiet();
    expect([io.inFlight, io.allHang, io.hasRoom, changes() - before]).toEqual([1, false, true, 1]);
    expect(await stateOf(ended)).toBe('open');
    // One more call may be made. With the call that still hangs, there is no room for another.
    const third = heldCall();
    const outcome = io.soon('op', third.call);
    const waiting = io.room('op');
    expect(io.hasRoom).toBe(false);
    (calls[1] as HeldCall).fail(new Error('late'));
    expect(await stateOf(waiting)).toBe('done');
    expect([io.inFlight, io.allHang]).toEqual([1, false]);
    third.end(3);
    expect(await outcome).toEqual({ value: 3 });
    expect(await stateOf(ended)).toBe('done');
    expect([io.inFlight, io.isAtWork]).toEqual([0, false]);
  });

  test('idle() waits also for calls that begin while it waits', async () => {
    const { io } = create('async', 4);
    const [one, two] = [heldCall(), heldCall()];
    void io.soon('op', one.call);
    const idle = io.idle();
    void io.soon('op', two.call);
    one.end();
    expect(await stateOf(idle)).toBe('open');
    two.end();
    expect(await stateOf(idle)).toBe('done');
  });
});

describe('the length that a read returns', () => {
  const into = new Uint8Array(10);

  test.each([
    [4, 4],
    [0, 0],
    [11, 10],
    [undefined, 10],
    [-1, 10],
    [1.5, 10],
    ['4', 10],
  ])('for the answer %s is %i', (value, length) => {
    expect(bytesRead('x', { value }, into)).toBe(length);
  });

  test('is the error for a call that failed, and EIO for a detached buffer', () => {
    const { io } = create('sync');
    const outcome = io.now('x', () => thrower());
    expect(bytesRead('x', outcome, into)).toBe('failure' in outcome ? outcome.failure : 'no failure');
    const taken = new Uint8Array(10);
    structuredClone(taken.buffer, { transfer: [taken.buffer] });
    expect(bytesRead('x', { value: 4 }, taken)).toMatchObject({ code: 'EIO', op: 'x' });
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
  ])('a read of a slot that returns %s has read %i bytes', (says, bytes) => {
    expect(bytesRead('op', { value: says }, new Uint8Array(4128))).toBe(bytes);
  });
});
