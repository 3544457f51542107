/** Arrays of callers that are not what they seem, and ways to take one away while a call runs. */
type Resizable = ArrayBuffer & { resize(bytes: number): void };
const ResizableBuffer = ArrayBuffer as unknown as new (bytes: number, options: { maxByteLength: number }) => Resizable;

export function detach(bytes: Uint8Array): void {
  structuredClone(bytes.buffer, { transfer: [bytes.buffer as ArrayBuffer] });
}

/** An array that `take` makes too short, or takes the memory of; and one that it makes longer. */
export interface Taken {
  bytes: Uint8Array;
  take: () => void;
}

/** Makers of such arrays with these bytes in them, by what happens to them. */
export const TAKINGS: Record<string, (bytes: Uint8Array) => Taken> = {
  'is detached': (bytes) => {
    const copy = new Uint8Array(bytes);
    return { bytes: copy, take: () => detach(copy) };
  },
  shrinks: (bytes) => resizable(bytes, bytes.length, bytes.length - 1),
  'shrinks to nothing': (bytes) => resizable(bytes, bytes.length, 0),
  'shrinks, and its view follows': (bytes) => resizable(bytes, undefined, 100),
};

/** The same for arrays that become longer. */
export const GROWING: Record<string, (bytes: Uint8Array) => Taken> = {
  grows: (bytes) => resizable(bytes, bytes.length, bytes.length + 100),
  'grows, and its view follows': (bytes) => resizable(bytes, undefined, bytes.length + 100),
};

function resizable(from: Uint8Array, length: number | undefined, to: number): Taken {
  const buffer = new ResizableBuffer(from.length, { maxByteLength: from.length + 100 });
  const bytes = length === undefined ? new Uint8Array(buffer) : new Uint8Array(buffer, 0, length);
  bytes.set(from);
  return { bytes, take: () => buffer.resize(to) };
}

/** Arrays whose own methods and properties lie; each notes in `asked` that one of them was used. */
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
