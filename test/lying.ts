/** Arrays of a hostile caller. Portable. */

/** An array whose properties and methods all lie or throw; its bytes are real. */
export function lying(length: number, fill = 0): Uint8Array {
  const array = new Uint8Array(length).fill(fill);
  const trap = (): never => {
    throw new Error("a property of the caller's array was asked");
  };
  class Lying extends Uint8Array {
    static get [Symbol.species](): typeof Uint8Array {
      return trap();
    }
  }
  Object.setPrototypeOf(array, Lying.prototype);
  for (const name of [
    'length',
    'byteLength',
    'byteOffset',
    'buffer',
    'constructor',
    'set',
    'subarray',
    'slice',
    'fill',
    'copyWithin',
    'at',
    'every',
    'toString',
    Symbol.iterator,
    Symbol.toStringTag,
  ]) {
    Object.defineProperty(array, name, { get: trap });
  }
  return array;
}

/** The bytes of such an array. */
export function bytesOf(array: Uint8Array): Uint8Array {
  const copy = new Uint8Array(
    Reflect.get(Object.getPrototypeOf(Uint8Array.prototype) as object, 'length', array) as number,
  );
  copy.set(array);
  return copy;
}
