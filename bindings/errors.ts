/** The one error type of the package, and Linux's numbers for its codes. */

/** Every code that the package gives. */
export type ErrorCode =
  | 'EINVAL' | 'ENOMEM' | 'ENOSPC' | 'ENOENT' | 'EEXIST' | 'EAGAIN' | 'EBUSY' | 'EIO' | 'ERANGE' | 'ENODEV' | 'EUCLEAN' | 'ECLOSED';

const NUMBERS: Record<ErrorCode, number> = {
  ENOENT: -2, EIO: -5, ECLOSED: -9, EAGAIN: -11, ENOMEM: -12, EBUSY: -16, EEXIST: -17, ENODEV: -19, EINVAL: -22,
  ENOSPC: -28, ERANGE: -34, EUCLEAN: -117,
};

/** A fault of any call of this package. */
export class CompcacheError extends Error {
  override readonly name = 'CompcacheError';
  /** Symbolic code, for `switch`. */
  readonly code: ErrorCode;
  /** Linux's number for the code, negative. */
  readonly errno: number;
  /** The call that failed, as in `zpool.malloc`. */
  readonly op: string;

  constructor(code: ErrorCode, op: string, message: string, options?: { cause?: unknown }) {
    super(`${op}: ${message} (${code})`, options);
    this.code = code;
    this.errno = NUMBERS[code];
    this.op = op;
  }
}

/** Results of the core from here on are errors. */
export const ERRNO_MIN = 0xfffff000;

const BY_NUMBER = new Map<number, ErrorCode>(Object.entries(NUMBERS).map(([code, number]) => [number, code as ErrorCode]));

/** The code of a core result that is an error. */
export function codeOf(result: number): ErrorCode {
  return BY_NUMBER.get(result | 0) ?? 'EIO';
}

export function isU32(value: unknown): value is number {
  return typeof value === 'number' && value >>> 0 === value;
}

/** Requires a whole number of 0..2^32 - 1; EINVAL otherwise. */
export function requireU32(op: string, what: string, value: unknown): asserts value is number {
  if (!isU32(value)) throw new CompcacheError('EINVAL', op, `${what} must be a whole number from 0 to 4294967295, not ${show(value)}`);
}

const TYPED_ARRAY = Object.getPrototypeOf(Uint8Array.prototype) as object;
const TAG = Object.getOwnPropertyDescriptor(TYPED_ARRAY, Symbol.toStringTag)?.get as () => string | undefined;
const LENGTH = Object.getOwnPropertyDescriptor(TYPED_ARRAY, 'length')?.get as () => number;
const NOTHING = new Uint8Array(0);

/** The real length of an array that requireBytes has let through, whatever properties it was given. */
export function lengthOf(bytes: Uint8Array): number {
  return LENGTH.call(bytes);
}

/**
 * Requires bytes that can be read: a Uint8Array (a Buffer is one) of any realm. EINVAL otherwise, for a view of a detached
 * buffer too. Views of shared memory are allowed: their bytes are copied.
 */
export function requireBytes(op: string, what: string, value: unknown): asserts value is Uint8Array {
  if (TAG.call(value) !== 'Uint8Array') throw new CompcacheError('EINVAL', op, `${what} must be a Uint8Array, not ${show(value)}`);
  if (LENGTH.call(value) === 0 && isDetached(value as Uint8Array)) {
    throw new CompcacheError('EINVAL', op, `${what} is a view of a detached buffer, or lies outside a resized one`);
  }
}

/** Only such a view refuses to be copied from. */
function isDetached(view: Uint8Array): boolean {
  try {
    NOTHING.set(view);
    return false;
  } catch {
    return true;
  }
}

/** A value for a message: short, and never throwing. */
export function show(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.length > 40 ? `${value.slice(0, 40)}…` : value);
  if (value === null || (typeof value !== 'object' && typeof value !== 'function')) return String(value);
  try {
    return Object.prototype.toString.call(value).slice(8, -1);
  } catch {
    return typeof value;
  }
}

/** Requires an object of options with no other keys. EINVAL. */
export function requireOptions(op: string, options: unknown, known: readonly string[]): void {
  if (typeof options !== 'object' || options === null) throw new CompcacheError('EINVAL', op, `options must be an object, not ${show(options)}`);
  for (const [key, value] of Object.entries(options)) {
    if (value !== undefined && !known.includes(key)) throw new CompcacheError('EINVAL', op, `there is no option ${show(key)}; known: ${known.join(', ')}`);
  }
}
