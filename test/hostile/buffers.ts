/** Hostile byte arrays of callers: with the right bytes in unusual arrays, or not byte arrays at all. */
import { oddNumber, proxy, type Scene } from './values.ts';

/** Engines without resizable buffers make plain ones. */
interface Growing extends ArrayBuffer {
  resize?(bytes: number): void;
  readonly resizable?: boolean;
  readonly maxByteLength?: number;
}

const newBuffer = ArrayBuffer as unknown as new (bytes: number, options?: { maxByteLength: number }) => Growing;
const newShared = (): (new (bytes: number, options?: { maxByteLength: number }) => SharedArrayBuffer) | undefined =>
  typeof SharedArrayBuffer === 'undefined' ? undefined : (SharedArrayBuffer as never);

/** Detaches a buffer where this is possible. */
export function detach(buffer: ArrayBuffer): void {
  try {
    structuredClone(buffer, { transfer: [buffer] });
  } catch {
    // A WebAssembly memory, or one that is detached already.
  }
}

/** Makes a recorded buffer shorter or longer, or detaches it. */
export function change(scene: Scene, buffer: Growing): void {
  const { dice } = scene;
  if (buffer.resizable !== true || dice.once(6)) {
    detach(buffer);
    return;
  }
  const most = buffer.maxByteLength as number;
  if (most > 0) buffer.resize?.(dice.of([0, 1, most >> 1, most, dice.below(most + 1)]));
}

/** An array whose properties lie about it. */
function lying(scene: Scene, bytes: Uint8Array): Uint8Array {
  const { dice } = scene;
  const memory = (): Uint8Array => new Uint8Array(dice.of([0, 1, 4096, 65536]));
  const lies: Record<string | symbol, unknown> = {
    length: dice.of([0, 4096, 65536, 2 ** 32, -1, '4096']),
    byteLength: 65536,
    byteOffset: dice.of([0, 4096, -1]),
    buffer: new ArrayBuffer(65536),
    subarray: memory,
    slice: memory,
    set: () => scene.act(),
    fill: () => scene.act(),
    constructor: { [Symbol.species]: memory },
    [Symbol.iterator]: () => scene.throw(),
    [Symbol.toStringTag]: 'Uint8Array',
  };
  for (const key of Reflect.ownKeys(lies)) {
    if (dice.once(2)) continue;
    const get = (): unknown => {
      if (dice.once(4)) scene.act();
      if (dice.once(8)) scene.throw();
      return lies[key];
    };
    Object.defineProperty(bytes, key, dice.once(2) ? { get } : { value: lies[key] });
  }
  if (dice.once(4))
    Object.setPrototypeOf(bytes, dice.of<object | null>([null, Array.prototype, Float64Array.prototype, {}]));
  return bytes;
}

/** A subclass whose species gives other memory, and whose methods act. */
function subclass(scene: Scene, right: Uint8Array): Uint8Array {
  class Bytes extends Uint8Array {
    static get [Symbol.species](): Uint8ArrayConstructor {
      if (scene.dice.once(4)) scene.act();
      return scene.dice.once(4)
        ? scene.throw()
        : (function () {
            return new Uint8Array(65536);
          } as never);
    }
    override subarray(): never {
      scene.act();
      return new Uint8Array(65536) as never;
    }
    override set(): void {
      scene.act();
    }
    override get length(): number {
      return 65536;
    }
  }
  const bytes = new Bytes(right.length);
  Uint8Array.prototype.set.call(bytes, right);
  return bytes;
}

/** The right bytes in a buffer of their own; the length of the array may follow the buffer. */
function inBuffer(scene: Scene, right: Uint8Array, buffer: Growing | SharedArrayBuffer): Uint8Array {
  const at = scene.dice.of([0, 0, 512]);
  const fits = at + right.length <= buffer.byteLength;
  const bytes =
    scene.dice.once(2) && at === 0 ? new Uint8Array(buffer) : new Uint8Array(buffer, fits ? at : 0, right.length);
  bytes.set(right);
  return bytes;
}

/** A value without bytes, or with another number of bytes. */
function odd(scene: Scene, right: Uint8Array): unknown {
  const { dice } = scene;
  switch (dice.below(14)) {
    case 0:
      return new Uint8ClampedArray(right);
    case 1:
      return new Int8Array(right.length);
    case 2:
      return new Float64Array(right.length >> 3);
    case 3:
      return new DataView(new ArrayBuffer(right.length));
    case 4:
      return new ArrayBuffer(right.length);
    case 5:
      return Array.from(right.subarray(0, 64));
    case 6:
      return { length: right.length, buffer: right.buffer, byteOffset: 0 };
    case 7:
      return proxy(scene, right.slice());
    case 8:
      return Object.create(Uint8Array.prototype);
    case 9:
      return new Uint8Array(dice.of([0, 1, right.length + 1, 2 * right.length, 65537, Math.max(0, right.length - 1)]));
    case 10:
      return Object.create(right.slice());
    case 11: {
      const bytes = right.slice();
      detach(bytes.buffer);
      return bytes;
    }
    case 12: {
      const buffer = new newBuffer(right.length + 64, { maxByteLength: right.length + 64 });
      const bytes = new Uint8Array(buffer, 64, right.length);
      buffer.resize?.(dice.below(64));
      return bytes;
    }
    default:
      return oddNumber(scene);
  }
}

/** The right bytes in any kind of array; sometimes something else. */
export function hostileBytes(scene: Scene, right: Uint8Array): Uint8Array {
  const { dice } = scene;
  const { length } = right;
  switch (dice.below(14)) {
    case 0:
      return odd(scene, right) as Uint8Array;
    case 1:
      return lying(scene, right.slice());
    case 2:
      return subclass(scene, right);
    case 3: {
      const buffer = new newBuffer(length, { maxByteLength: length + 8192 });
      scene.note(buffer);
      return inBuffer(scene, right, buffer);
    }
    case 4: {
      const buffer = new newBuffer(length + 1024, { maxByteLength: length + 8192 });
      scene.note(buffer);
      return lying(scene, inBuffer(scene, right, buffer));
    }
    case 5: {
      const Shared = newShared();
      return Shared === undefined
        ? right.slice()
        : inBuffer(scene, right, new Shared(length, { maxByteLength: length + 65536 }));
    }
    case 6: {
      const bytes = right.slice();
      scene.note(bytes.buffer);
      return bytes;
    }
    case 7:
      return (globalThis as { Buffer?: { from(bytes: Uint8Array): Uint8Array } }).Buffer?.from(right) ?? right.slice();
    case 8:
      return Object.preventExtensions(right.slice());
    default:
      return right.slice();
  }
}
