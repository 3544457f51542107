/** Hostile codecs and stores: they do their work, and call back, throw, detach buffers, keep arrays, or lie. */
import { CompcacheError, SLOT_BYTES, type BackingStore, type Codec } from '../../bindings/index.ts';
import type { KeyvLike } from '../../bindings/backing/keyv.ts';
import type { OpfsStoreOptions } from '../../bindings/backing/opfs.ts';
import { TestMedium } from '../backing/medium.ts';
import { detach } from './buffers.ts';
import { answer, callback, oddNumber, oddString, proxy, type Scene } from './values.ts';

/** Leaves out the zeros at the end. */
function trim(src: Uint8Array, dst: Uint8Array): number {
  let used = src.length;
  while (used > 0 && src[used - 1] === 0) used--;
  if (used + 2 > dst.length) return 0;
  dst[0] = used;
  dst[1] = used >> 8;
  dst.set(src.subarray(0, used), 2);
  return used + 2;
}

function untrim(src: Uint8Array, dst: Uint8Array): number {
  dst.fill(0).set(src.subarray(2, 2 + (src[0] as number) + 256 * (src[1] as number)));
  return dst.length;
}

/** @param lies true when it may give wrong bytes */
export function hostileCodec(scene: Scene, lies: boolean): Codec {
  const work =
    (right: Codec['compress']) =>
    (src: Uint8Array, dst: Uint8Array): number => {
      const { dice } = scene;
      if (dice.once(4)) scene.act();
      const does = dice.below(40);
      if (does === 0) scene.throw();
      if (does === 1) return answer(scene) as number;
      if (does === 2) return oddNumber(scene) as number;
      const written = right(src, dst);
      if (lies && dice.once(6)) dst.fill(dice.below(256));
      if (dice.once(6)) scene.act();
      if (does === 3) detach(dst.buffer as ArrayBuffer);
      if (does < 8) detach(src.buffer as ArrayBuffer);
      if (does === 8) return lies ? dice.below(5000) : (oddNumber(scene) as number);
      scene.keep(src);
      scene.keep(dst);
      return written;
    };
  const codec: Codec = { name: 'trimmer', compress: work(trim), decompress: work(untrim) };
  switch (scene.dice.below(8)) {
    case 0:
      return proxy(scene, codec);
    case 1:
      return { ...codec, name: oddString(scene) as string };
    case 2:
      return Object.defineProperty({ ...codec }, 'name', { get: () => (scene.act(), 'lz4') });
    default:
      return codec;
  }
}

/** A value that is not a codec. */
export function oddCodec(scene: Scene): Codec {
  const { dice } = scene;
  const name = 'odd';
  return dice.of<unknown>([
    oddString(scene),
    {},
    { name, compress: () => 1 },
    { name, compress: 1, decompress: 2 },
    new Proxy({}, { get: () => scene.throw() }),
    {
      name,
      get compress() {
        return scene.throw();
      },
    },
    'zstd',
    'nonsense',
    Object.create(null),
    proxy(scene, {}),
  ]) as Codec;
}

/** A promise that settles now, later, or only at the end of the episode. */
function promised(scene: Scene, call: () => unknown): unknown {
  const { dice } = scene;
  switch (dice.below(6)) {
    case 0:
      return new Promise((resolve, reject) =>
        scene.later(() => {
          try {
            resolve(dice.once(6) ? scene.throw() : call());
          } catch (thing) {
            reject(thing);
          }
        }),
      );
    case 1:
      return { then: (resolve: (value: unknown) => void) => resolve(call()) };
    case 2:
      return dice.once(4) ? answer(scene) : Promise.resolve(call());
    case 3:
      return call();
    default:
      return Promise.resolve().then(call);
  }
}

export function hostileStore(scene: Scene): BackingStore {
  const { dice } = scene;
  const mode = dice.of(['sync', 'async'] as const);
  const held = new Map<number, Uint8Array>();
  const method =
    <A extends unknown[]>(right: (...given: A) => unknown) =>
    (...given: A): unknown => {
      if (dice.once(4)) scene.act();
      if (dice.once(20)) scene.throw();
      if (dice.once(40)) return answer(scene);
      const does = (): unknown => {
        const result = right(...given);
        if (dice.once(8)) scene.act();
        return result;
      };
      return mode === 'async' ? promised(scene, does) : does();
    };
  const read = (slot: number, into: Uint8Array): unknown => {
    const bytes = held.get(dice.once(30) ? slot + 1 : slot);
    if (bytes === undefined) throw Object.assign(new Error('nothing there'), { code: 'ENOENT' });
    if (into.length >= bytes.length) into.set(bytes);
    if (dice.once(30)) into[dice.below(200)] = dice.below(256);
    if (dice.once(30)) detach(into.buffer as ArrayBuffer);
    scene.keep(into);
    return dice.once(8) ? dice.of([undefined, SLOT_BYTES, 0, oddNumber(scene)]) : bytes.length;
  };
  const write = (slot: number, bytes: Uint8Array): void => {
    held.set(slot, bytes.slice());
    if (dice.once(20)) detach(bytes.buffer as ArrayBuffer);
    scene.keep(bytes);
  };
  const store = {
    mode,
    ...(dice.once(2) ? {} : { slots: dice.of([1, 4, 100, 2 ** 32 - 1, 2 ** 32]) }),
    read: method(read),
    write: method(write),
    free: method((slot: number) => void held.delete(slot)),
    ...(dice.once(3) ? {} : { sync: method(() => undefined) }),
    close: method(() => undefined),
  } as BackingStore;
  return dice.once(8) ? proxy(scene, store) : store;
}

export function oddStore(scene: Scene): BackingStore {
  const { dice } = scene;
  const whole = { mode: 'sync', read: () => 0, write: () => undefined, free: () => undefined, close: () => undefined };
  return dice.of<unknown>([
    oddNumber(scene),
    {},
    { ...whole, mode: oddString(scene) },
    { ...whole, slots: oddNumber(scene) },
    { ...whole, read: 1 },
    new Proxy({}, { get: () => scene.throw() }),
    {
      ...whole,
      get mode() {
        return scene.throw();
      },
    },
    Object.assign(() => 1, whole),
  ]) as BackingStore;
}

/** A Map, a Keyv adapter or a Keyv instance that works, or misbehaves. */
export function hostileKeyv(scene: Scene): KeyvLike {
  const { dice } = scene;
  const map = new Map<string, unknown>();
  if (dice.once(3)) return map as KeyvLike;
  const method =
    <A extends unknown[]>(right: (...given: A) => unknown) =>
    (...given: A): unknown => {
      if (dice.once(8)) scene.act();
      if (dice.once(40)) scene.throw();
      if (dice.once(40)) return answer(scene);
      return dice.once(2) ? right(...given) : promised(scene, () => right(...given));
    };
  const get = method((key: string) =>
    dice.once(20) ? dice.of([1, '', '!', 'AAAA', null, {}, 'A'.repeat(9000)]) : map.get(key),
  );
  const like = {
    get,
    set: method((key: string, value: unknown) => (map.set(key, value), true)),
    delete: method((key: string) => map.delete(key)),
  };
  switch (dice.below(6)) {
    case 0:
      return proxy(scene, like);
    case 1:
      return { ...like, on: callback(scene, () => undefined), off: callback(scene, () => undefined) } as KeyvLike;
    case 2:
      return {
        ...like,
        store: like,
        getRaw: method((key: string) => Promise.resolve({ value: map.get(key) })),
      } as KeyvLike;
    case 3:
      return { ...like, store: like, throwOnErrors: true } as KeyvLike;
    case 4:
      return dice.of<unknown>([oddNumber(scene), {}, { get }, new Proxy({}, { get: () => scene.throw() })]) as KeyvLike;
    default:
      return like;
  }
}

/** A file handle of a file in memory. */
export function hostileHandle(scene: Scene): NonNullable<OpfsStoreOptions['handle']> {
  const { dice } = scene;
  const medium = new TestMedium();
  const call =
    <A extends unknown[]>(right: (...given: A) => unknown) =>
    (...given: A): unknown => {
      if (dice.once(10)) scene.act();
      if (dice.once(40)) scene.throw();
      return dice.once(40) ? oddNumber(scene) : right(...given);
    };
  const access = {
    read: call((into: Uint8Array, { at }: { at: number }) => medium.readAt(into, at)),
    write: call((bytes: Uint8Array, { at }: { at: number }) => medium.writeAt(bytes, at)),
    truncate: call((bytes: number) => medium.resize(Math.min(bytes, 2 ** 20))),
    getSize: call(() => medium.size()),
    flush: call(() => medium.flush()),
    close: call(() => medium.close()),
  };
  const createSyncAccessHandle = async (): Promise<unknown> => {
    if (dice.once(10)) scene.act();
    return dice.once(10) ? scene.throw() : dice.once(10) ? proxy(scene, access) : access;
  };
  return dice.of<unknown>([
    { kind: 'file', createSyncAccessHandle },
    { kind: 'file', createSyncAccessHandle },
    { kind: 'file', createSyncAccessHandle },
    { kind: 'directory' },
    proxy(scene, { kind: 'file' }),
    oddNumber(scene),
  ]) as never;
}

/** Whether an error is a CompcacheError. It reads no property that a proxy could answer. */
export function isOurs(fault: unknown): fault is CompcacheError {
  return CompcacheError.made(fault);
}
