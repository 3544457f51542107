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

/** Requires bytes that can be read; EINVAL otherwise. Views of shared memory are allowed: their bytes are copied. */
export function requireBytes(op: string, what: string, value: unknown): asserts value is Uint8Array {
  if (!(value instanceof Uint8Array)) throw new CompcacheError('EINVAL', op, `${what} must be a Uint8Array, not ${show(value)}`);
  if (value.length === 0 && isDetached(value)) throw new CompcacheError('EINVAL', op, `${what} is a view of a detached buffer`);
}

function isDetached(view: Uint8Array): boolean {
  try {
    return new Uint8Array(view.buffer).length < 0;
  } catch {
    return true;
  }
}

/** A value for a message: short, and never throwing. */
export function show(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.length > 40 ? `${value.slice(0, 40)}…` : value);
  if (value === null || typeof value !== 'object') return String(value);
  return Object.prototype.toString.call(value).slice(8, -1);
}
