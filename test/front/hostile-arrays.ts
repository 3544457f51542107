/** Hostile arrays of callers, and ways to change an array's buffer while a call runs. */
type Resizable = ArrayBuffer & { resize(bytes: number): void };
const ResizableBuffer = ArrayBuffer as unknown as new (bytes: number, options: { maxByteLength: number }) => Resizable;

export function detach(bytes: Uint8Array): void {
  structuredClone(bytes.buffer, { transfer: [bytes.buffer as ArrayBuffer] });
}

/** An array, and a function that shortens, detaches or lengthens its buffer. */
export interface Resized {
  bytes: Uint8Array;
  resize: () => void;
}

/** Makers of arrays with these bytes whose buffer is detached or shrinks, by name. */
export const SHRINKING: Record<string, (bytes: Uint8Array) => Resized> = {
  'is detached': (bytes) => {
    const copy = new Uint8Array(bytes);
    return { bytes: copy, resize: () => detach(copy) };
  },
  shrinks: (bytes) => resizable(bytes, bytes.length, bytes.length - 1),
  'shrinks to nothing': (bytes) => resizable(bytes, bytes.length, 0),
  'shrinks, and its view follows': (bytes) => resizable(bytes, undefined, 100),
};

/** Makers of arrays with these bytes whose buffer grows, by name. */
export const GROWING: Record<string, (bytes: Uint8Array) => Resized> = {
  grows: (bytes) => resizable(bytes, bytes.length, bytes.length + 100),
  'grows, and its view follows': (bytes) => resizable(bytes, undefined, bytes.length + 100),
};

function resizable(from: Uint8Array, length: number | undefined, to: number): Resized {
  const buffer = new ResizableBuffer(from.length, { maxByteLength: from.length + 100 });
  const bytes = length === undefined ? new Uint8Array(buffer) : new Uint8Array(buffer, 0, length);
  bytes.set(from);
  return { bytes, resize: () => buffer.resize(to) };
}

/** Arrays whose own methods and properties lie; each records in `asked` that one of them was used. */
export function liars(bytes: Uint8Array, asked: string[]): Uint8Array[] {
  const big = new Uint8Array(65536).fill(0xee);
  class Species extends Uint8Array {
    static get [Symbol.species](): Uint8ArrayConstructor {
      asked.push('species');
      return Species as unknown as Uint8ArrayConstructor;
    }
  }
  const own = new Uint8Array(bytes);
  const lies = {
    length: 65536,
    byteLength: 65536,
    byteOffset: 64,
    buffer: big.buffer,
    subarray: () => big,
    slice: () => big,
    set: () => undefined,
    constructor: Species,
  };
  for (const [key, value] of Object.entries(lies)) {
    Object.defineProperty(own, key, {
      get: () => {
        asked.push(key);
        return value;
      },
    });
  }
  const bare = new Uint8Array(bytes);
  Object.setPrototypeOf(bare, null);
  return [own, bare, new Species(bytes)];
}
