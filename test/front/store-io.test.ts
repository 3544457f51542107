/** The calls of a store: the most at once, waiting for room, calls that hang, and the answers of a store. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { BackingStore } from '../../bindings/index.ts';
import { StoreIo, bytesRead, type Outcome } from '../../bindings/front/common/store-io.ts';
import { runSync } from '../../bindings/steps.ts';
import { Clock, TIMEOUT, quiet } from './clock.ts';

const clock = new Clock();
beforeEach(() => void clock.install());
afterEach(() => clock.restore());

interface Answer<T> {
  readonly promise: Promise<T>;
  readonly give: (value: T) => void;
  readonly refuse: (cause: unknown) => void;
}

function answer<T>(): Answer<T> {
  let [give, refuse]: [Answer<T>['give'], Answer<T>['refuse']] = [() => {}, () => {}];
  const promise = new Promise<T>((resolve, reject) => ([give, refuse] = [resolve, reject]));
  return { promise, give, refuse };
}

/** The calls of a store of this mode, and how often it reported a change. */
function create(mode: 'sync' | 'async', maxInFlight = 2): { io: StoreIo; changes: () => number } {
  let changes = 0;
  const io = new StoreIo({ mode } as BackingStore, maxInFlight, TIMEOUT, () => void (changes += 1));
  return { io, changes: () => changes };
}

/** The state of a promise now: its value, the code of its error, or 'open'. */
async function now(promise: Promise<unknown>): Promise<unknown> {
  const open = Symbol('open');
  await quiet();
  return Promise.race([
    promise.then(
      () => 'done',
      (error: { code?: string }) => error.code,
    ),
    quiet().then(() => open),
  ]).then((found) => (found === open ? 'open' : found));
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
    const given = answer<number>();
    const outcome = io.now('x', () => given.promise);
    if (!('failure' in outcome) || outcome.late === undefined) throw new Error('the call is not late');
    expect([outcome.failure.code, await now(outcome.late)]).toEqual(['EIO', 'open']);
    given.refuse(new Error('in vain'));
    expect(await now(outcome.late)).toBe('done');
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
});

describe('an asynchronous store', () => {
  test('is called before soon() returns, and the call counts until it has been answered', async () => {
    const { io, changes } = create('async');
    const given = answer<number>();
    let called = false;
    const soon = io.soon('x', () => ((called = true), given.promise));
    expect([called, io.inFlight, io.hasRoom, io.isAtWork]).toEqual([true, 1, true, true]);
    given.give(5);
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
    const given = [answer<number>(), answer<number>()];
    const calls = given.map(({ promise }) => io.soon('x', () => promise));
    expect(io.hasRoom).toBe(false);
    const room = io.room('x');
    expect(await now(room)).toBe('open');
    given[1]?.give(1);
    expect([await now(room), io.hasRoom, io.inFlight]).toEqual(['done', true, 1]);
    given[0]?.give(1);
    await Promise.all(calls);
  });

  test('that does not answer in time fails, and the call counts until it has been answered', async () => {
    const { io, changes } = create('async');
    const given = answer<number>();
    const soon = io.soon('x', () => given.promise);
    clock.pass(TIMEOUT);
    const outcome = await soon;
    if (!('failure' in outcome) || outcome.late === undefined) throw new Error('the call is not late');
    expect([outcome.failure.code, io.inFlight, io.allHang, changes()]).toEqual(['EIO', 1, false, 1]);
    expect([await now(outcome.late), await now(io.idle()), await now(io.ended())]).toEqual(['open', 'done', 'open']);
    given.refuse(new Error('at last'));
    expect(await now(outcome.late)).toBe('done');
    expect([io.inFlight, changes()]).toEqual([0, 2]);
  });

  test('all of whose calls hang has no room: room() is EIO until a call has ended', async () => {
    const { io } = create('async');
    const given = [answer<number>(), answer<number>()];
    const begin = (nth: number): Promise<Outcome<number>> => io.soon('x', () => (given[nth] as Answer<number>).promise);
    const first = begin(0);
    clock.pass(TIMEOUT);
    expect([codeOf(await first), io.allHang, io.hasRoom]).toEqual(['EIO', false, true]);
    const second = begin(1);
    const [room, idle, ended] = [io.room('mine'), io.idle(), io.ended()];
    room.catch(() => {});
    clock.pass(TIMEOUT);
    expect(codeOf(await second)).toBe('EIO');
    expect([await now(room), await now(idle), await now(ended), io.allHang]).toEqual(['EIO', 'done', 'open', true]);
    await expect(io.room('other')).rejects.toMatchObject({ code: 'EIO', op: 'other' });
    given[0]?.give(1);
    await quiet();
    expect([io.allHang, io.hasRoom, await now(ended)]).toEqual([false, true, 'open']);
    given[1]?.give(1);
    expect([await now(ended), io.inFlight]).toEqual(['done', 0]);
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
});
