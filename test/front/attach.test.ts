/** How a front end takes a store and gives it back, and how steps are undone. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { BackingStore } from '../../bindings/index.ts';
import { releaseStore, releaseWhenEnded, takeStore, withUndo } from '../../bindings/front/common/attach.ts';
import { StoreIo } from '../../bindings/front/common/store-io.ts';
import { Clock, TIMEOUT, quiet } from './clock.ts';
import { heldCall } from './held-calls.ts';
import { codeOf } from './pages.ts';

const clock = new Clock();
beforeEach(() => void clock.install());
afterEach(() => clock.restore());

describe('a front end that is made and closed', () => {
  test('when a step fails, the steps before it are undone, the last one first', () => {
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

  test('a store belongs to one front end until its last call has ended', async () => {
    const io = new StoreIo({ mode: 'async' } as BackingStore, 1, TIMEOUT, () => undefined);
    takeStore('op', io.store);
    expect(codeOf(() => takeStore('op', io.store))).toBe('EBUSY');
    const call = heldCall();
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
});
