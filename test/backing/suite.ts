/** The contract of a backing store, as tests that every store passes. Portable. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { SLOT_BYTES, type BackingStore } from '../../bindings/backing/types.ts';
import { CompcacheError, type ErrorCode } from '../../bindings/errors.ts';
import { bytesOf, lying } from '../lying.ts';
import { content, dice } from './content.ts';

/** A store to test. */
export interface Row {
  name: string;
  mode: BackingStore['mode'];
  /** The name of the class, as errors have it. */
  type: string;
  /** Opens an empty store with this number of slots. */
  open(slots: number): Promise<BackingStore>;
  /** True when calls go to the store as messages, so that it never sees an array of the caller. */
  remote?: boolean;
  /** Removes the files that open made. */
  remove?(): Promise<void> | void;
}

const SLOTS = 40;

/** Bytes in a buffer that can shrink. */
function shrinkable(bytes: Uint8Array): { array: Uint8Array; buffer: { resize(bytes: number): void } } {
  const Resizable = ArrayBuffer as unknown as new (
    bytes: number,
    options: { maxByteLength: number },
  ) => ArrayBuffer & { resize(bytes: number): void };
  const buffer = new Resizable(bytes.length, { maxByteLength: bytes.length });
  const array = new Uint8Array(buffer);
  array.set(bytes);
  return { array, buffer };
}
const SIZES = [1, 31, 32, 33, 511, 512, 2000, 4095, 4096, 4097, SLOT_BYTES - 1, SLOT_BYTES];

/** The code of a call that must fail. The error is thrown or rejected, as the mode wants. */
export async function codeOf(store: BackingStore, call: () => unknown): Promise<ErrorCode> {
  let value: unknown;
  try {
    value = call();
  } catch (error) {
    expect(store.mode, 'an async store rejects').toBe('sync');
    return (error as CompcacheError).code;
  }
  expect(value instanceof Promise, 'a sync store throws').toBe(store.mode === 'async');
  return (value as Promise<unknown>).then(
    (result) => {
      throw new Error(`it did not fail, but gave ${String(result)}`);
    },
    (error: unknown) => {
      if (!(error instanceof CompcacheError)) throw error;
      return error.code;
    },
  );
}

/** Requires that a slot begins with these bytes. */
export async function expectContent(store: BackingStore, slot: number, bytes: Uint8Array): Promise<void> {
  const into = new Uint8Array(SLOT_BYTES).fill(0xa5);
  const count = await store.read(slot, into);
  expect(count ?? SLOT_BYTES).toBeGreaterThanOrEqual(bytes.length);
  expect(count ?? SLOT_BYTES).toBeLessThanOrEqual(SLOT_BYTES);
  expect(into.subarray(0, bytes.length), `slot ${slot}`).toEqual(bytes);
}

/** Random calls, compared with a Map. @returns the content that the store must have now */
export async function play(
  store: BackingStore,
  slots: number,
  steps: number,
  seed: number,
): Promise<Map<number, Uint8Array>> {
  const roll = dice(seed);
  const model = new Map<number, Uint8Array>();
  for (let step = 0; step < steps; step++) {
    const slot = roll(slots);
    const held = model.get(slot);
    const kind = roll(4);
    if (kind < 2) {
      const bytes = content(slot, step, 1 + roll(SLOT_BYTES));
      await store.write(slot, bytes);
      model.set(slot, bytes);
    } else if (held === undefined) {
      expect(
        await codeOf(store, () => (kind === 2 ? store.free(slot) : store.read(slot, new Uint8Array(SLOT_BYTES)))),
      ).toBe('ENOENT');
    } else if (kind === 2) {
      await store.free(slot);
      model.delete(slot);
    } else {
      await expectContent(store, slot, held);
    }
  }
  return model;
}

/** Requires that every slot holds what the model has, or nothing. */
export async function expectModel(
  store: BackingStore,
  slots: number,
  model: ReadonlyMap<number, Uint8Array>,
): Promise<void> {
  for (let slot = 0; slot < slots; slot++) {
    const held = model.get(slot);
    if (held !== undefined) await expectContent(store, slot, held);
    else expect(await codeOf(store, () => store.read(slot, new Uint8Array(SLOT_BYTES)))).toBe('ENOENT');
  }
}

export function testBackingStore(row: Row): void {
  describe(row.name, () => {
    let store: BackingStore;
    const into = new Uint8Array(SLOT_BYTES);

    beforeEach(async () => {
      store = await row.open(SLOTS);
    });

    afterEach(async () => {
      await store.close();
      await row.remove?.();
    });

    test('has its mode and its number of slots as properties', () => {
      expect(store.mode).toBe(row.mode);
      expect(store.slots).toBe(SLOTS);
    });

    test('a new store is empty: read and free are ENOENT', async () => {
      for (const slot of [0, 1, SLOTS - 1]) {
        expect(await codeOf(store, () => store.read(slot, into))).toBe('ENOENT');
        expect(await codeOf(store, () => store.free(slot))).toBe('ENOENT');
      }
    });

    test('reads what was written, of every size, in the first and the last slot', async () => {
      for (const slot of [0, SLOTS - 1]) {
        for (const size of SIZES) {
          const bytes = content(slot, size, size);
          await store.write(slot, bytes);
          await expectContent(store, slot, bytes);
        }
        for (const size of [...SIZES].reverse()) {
          await store.write(slot, content(slot, size + 1, size));
          await expectContent(store, slot, content(slot, size + 1, size));
        }
      }
    });

    test('keeps every byte value', async () => {
      const bytes = Uint8Array.from({ length: 4096 }, (_, i) => ((i >> 8) & 1 ? 255 - i : i));
      await store.write(3, bytes);
      await expectContent(store, 3, bytes);
      for (const value of [0, 0x3a, 0x7f, 0x80, 0xff]) {
        await store.write(4, new Uint8Array(SLOT_BYTES).fill(value));
        await expectContent(store, 4, new Uint8Array(SLOT_BYTES).fill(value));
      }
    });

    test('a freed slot is empty, and can be written again', async () => {
      await store.write(7, content(7, 1, 100));
      await store.free(7);
      expect(await codeOf(store, () => store.read(7, into))).toBe('ENOENT');
      expect(await codeOf(store, () => store.free(7))).toBe('ENOENT');
      await store.write(7, content(7, 2, 200));
      await expectContent(store, 7, content(7, 2, 200));
    });

    test('all slots can be full, each with its own content', async () => {
      for (let slot = 0; slot < SLOTS; slot++) await store.write(slot, content(slot, 1, SLOT_BYTES));
      for (let slot = 1; slot < SLOTS; slot += 2) await store.free(slot);
      for (let slot = 0; slot < SLOTS; slot++) {
        if (slot % 2 === 0) await expectContent(store, slot, content(slot, 1, SLOT_BYTES));
        else expect(await codeOf(store, () => store.read(slot, into))).toBe('ENOENT');
      }
    });

    test('calls on different slots may overlap', async () => {
      const slots = Array.from({ length: SLOTS }, (_, slot) => slot);
      await Promise.all(slots.map((slot) => store.write(slot, content(slot, 1, 1 + slot * 100))));
      await Promise.all(
        slots.map((slot) =>
          slot % 3 === 0 ? store.free(slot) : expectContent(store, slot, content(slot, 1, 1 + slot * 100)),
        ),
      );
      expect(await codeOf(store, () => store.read(3, into))).toBe('ENOENT');
    });

    test('copies the bytes: changing a buffer after the call has no effect', async () => {
      const bytes = content(5, 1, 1000);
      await store.write(5, bytes);
      bytes.fill(0);
      await expectContent(store, 5, content(5, 1, 1000));
      await store.read(5, into);
      into.fill(0);
      await expectContent(store, 5, content(5, 1, 1000));
    });

    test('takes a part of a buffer, and does not touch the bytes outside', async () => {
      const around = new Uint8Array(SLOT_BYTES + 200).fill(0x5a);
      around.set(content(6, 1, 300), 50);
      await store.write(6, around.subarray(50, 350));
      const room = new Uint8Array(SLOT_BYTES + 200).fill(0x5a);
      await store.read(6, room.subarray(100, 100 + SLOT_BYTES));
      expect(room.subarray(100, 400)).toEqual(content(6, 1, 300));
      expect(room.subarray(0, 100).every((byte) => byte === 0x5a)).toBe(true);
      expect(room.subarray(100 + SLOT_BYTES).every((byte) => byte === 0x5a)).toBe(true);
    });

    test("uses no property of a caller's array, and takes shared memory", async () => {
      if (row.remote) return;
      const bytes = lying(SLOT_BYTES, 0x37);
      await store.write(8, bytes);
      await expectContent(store, 8, new Uint8Array(SLOT_BYTES).fill(0x37));
      const room = lying(SLOT_BYTES + 50, 1);
      await store.read(8, room);
      expect(bytesOf(room)).toEqual(new Uint8Array(SLOT_BYTES + 50).fill(0x37, 0, SLOT_BYTES).fill(1, SLOT_BYTES));
      if (typeof SharedArrayBuffer === 'undefined') return;
      const shared = new Uint8Array(new SharedArrayBuffer(SLOT_BYTES));
      shared.set(content(9, 1, SLOT_BYTES));
      await store.write(9, shared);
      shared.fill(0);
      await store.read(9, shared);
      expect(new Uint8Array(shared)).toEqual(content(9, 1, SLOT_BYTES));
    });

    test('a buffer that shrinks or is detached while a call waits: the bytes at the time of the call are written, and none are read into it', async () => {
      if (row.remote) return;
      for (const detach of [false, true]) {
        const from = shrinkable(content(8, 1, 3000));
        const lose = ({ array, buffer }: ReturnType<typeof shrinkable>): void =>
          detach ? void structuredClone(array.buffer, { transfer: [array.buffer as ArrayBuffer] }) : buffer.resize(5);
        const writing = store.write(8, from.array);
        lose(from);
        await writing;
        await expectContent(store, 8, content(8, 1, 3000));
        const into = shrinkable(new Uint8Array(SLOT_BYTES));
        if (store.mode === 'async') {
          expect(
            await codeOf(store, () => {
              const reading = store.read(8, into.array);
              lose(into);
              return reading;
            }),
          ).toBe('EINVAL');
        } else {
          lose(into);
          expect(await codeOf(store, () => store.read(8, into.array))).toBe('EINVAL');
        }
        if (detach) expect(await codeOf(store, () => store.write(8, from.array))).toBe('EINVAL');
      }
    });

    test('its number of slots cannot be changed', async () => {
      for (const [name, value] of [
        ['slots', 1e9],
        ['mode', 'other'],
      ] as const) {
        try {
          (store as unknown as Record<string, unknown>)[name] = value;
        } catch {
          continue; // its properties cannot be set
        }
      }
      const call = (): unknown => store.write(SLOTS, content(0, 1, 10));
      expect(
        await Promise.resolve()
          .then(call)
          .catch((error: unknown) => (error as CompcacheError).code),
      ).toBe('ENOSPC');
      await store.write(SLOTS - 1, content(0, 1, 10));
    });

    test('bad arguments are EINVAL, slots beyond the last ENOSPC, and nothing changes', async () => {
      await store.write(0, content(0, 1, 10));
      for (const slot of [-1, 0.5, NaN, Infinity, 2 ** 32, '0', null, undefined] as number[]) {
        expect(await codeOf(store, () => store.read(slot, into))).toBe('EINVAL');
        expect(await codeOf(store, () => store.write(slot, content(0, 2, 10)))).toBe('EINVAL');
        expect(await codeOf(store, () => store.free(slot))).toBe('EINVAL');
      }
      for (const slot of [SLOTS, 2 ** 32 - 1]) {
        expect(await codeOf(store, () => store.read(slot, into))).toBe('ENOSPC');
        expect(await codeOf(store, () => store.write(slot, content(0, 2, 10)))).toBe('ENOSPC');
        expect(await codeOf(store, () => store.free(slot))).toBe('ENOSPC');
      }
      for (const bytes of [
        new Uint8Array(0),
        new Uint8Array(SLOT_BYTES + 1),
        new Uint16Array(4),
        [1, 2],
        'text',
        undefined,
      ] as Uint8Array[]) {
        expect(await codeOf(store, () => store.write(0, bytes))).toBe('EINVAL');
      }
      for (const room of [new Uint8Array(SLOT_BYTES - 1), new ArrayBuffer(8192), undefined] as Uint8Array[]) {
        expect(await codeOf(store, () => store.read(0, room))).toBe('EINVAL');
      }
      await expectContent(store, 0, content(0, 1, 10));
    });

    test('random calls give the same results as a Map', async () => {
      await expectModel(store, SLOTS, await play(store, SLOTS, 600, 20261121));
      await store.sync?.();
    });

    test('errors name the call', async () => {
      const error = await Promise.resolve()
        .then(() => store.free(9))
        .catch((caught: unknown) => caught);
      expect(error).toMatchObject({ op: `${row.type}.free`, errno: -2 });
    });

    test('close waits for calls under way; then every call but close is ECLOSED', async () => {
      const writing = store.write(1, content(1, 1, 10));
      await store.close();
      await writing;
      await store.close();
      expect(await codeOf(store, () => store.read(1, into))).toBe('ECLOSED');
      expect(await codeOf(store, () => store.write(1, content(1, 1, 10)))).toBe('ECLOSED');
      expect(await codeOf(store, () => store.free(1))).toBe('ECLOSED');
      if (store.sync) expect(await codeOf(store, () => store.sync?.())).toBe('ECLOSED');
    });
  });
}
