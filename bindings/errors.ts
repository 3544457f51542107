/** The only error type of the package, and Linux's numbers for its codes. */
import { EBUSY, EEXIST, EINVAL, EIO, ENOENT, ENOMEM, ENOSPC, ERANGE, EUCLEAN } from '../assembly/abi.ts';

/** Every error code of the package. */
export type ErrorCode =
  | 'EINVAL'
  | 'ENOMEM'
  | 'ENOSPC'
  | 'ENOENT'
  | 'EEXIST'
  | 'EAGAIN'
  | 'EBUSY'
  | 'EIO'
  | 'ERANGE'
  | 'ENODEV'
  | 'EUCLEAN'
  | 'ECLOSED';

/** Linux's error numbers, negative. The core uses all but the last three. */
const NUMBERS: Record<ErrorCode, number> = {
  ENOENT: ENOENT | 0,
  EIO: EIO | 0,
  ENOMEM: ENOMEM | 0,
  EBUSY: EBUSY | 0,
  EEXIST: EEXIST | 0,
  EINVAL: EINVAL | 0,
  ENOSPC: ENOSPC | 0,
  ERANGE: ERANGE | 0,
  EUCLEAN: EUCLEAN | 0,
  ECLOSED: -9,
  EAGAIN: -11,
  ENODEV: -19,
};

/** Facts about an error, as data. */
export type ErrorDetail = Readonly<Record<string, string | number>>;

/** The error that every call of this package throws. */
export class CompcacheError extends Error {
  /** Only objects made by this constructor have this field. `instanceof` could be deceived by the object. */
  readonly #made = true;
  override readonly name = 'CompcacheError';
  /** Symbolic code, for `switch`. */
  readonly code: ErrorCode;
  /** Linux's number for the code, negative. */
  readonly errno: number;
  /** The call that failed, as in `zpool.malloc`. */
  readonly op: string;
  /** Numbers and names from the message: `needed` and `free` frames, the `argument`, the `name` that is taken. */
  readonly detail: ErrorDetail;

  constructor(code: ErrorCode, op: string, message: string, options: { cause?: unknown; detail?: ErrorDetail } = {}) {
    super(`${op}: ${message} (${code})`, 'cause' in options ? { cause: options.cause } : undefined);
    this.detail = Object.freeze({ ...options.detail });
    this.code = code;
    this.errno = NUMBERS[code];
    this.op = op;
  }

  /** True when a thrown value is one of these errors. Reads no property of the value. @internal */
  static made(thrown: unknown): thrown is CompcacheError {
    return typeof thrown === 'object' && thrown !== null && #made in thrown;
  }
}

/** A result of the core is an error when it is at least this number. */
export { ERRNO_MIN } from '../assembly/abi.ts';

const BY_NUMBER = new Map<number, ErrorCode>(
  Object.entries(NUMBERS).map(([code, number]) => [number, code as ErrorCode]),
);

/** The error code for a result of the core. */
export function codeOf(result: number): ErrorCode {
  return BY_NUMBER.get(result | 0) ?? 'EIO';
}

export function isU32(value: unknown): value is number {
  return typeof value === 'number' && value >>> 0 === value;
}

/** Requires a whole number from 0 to 2^32 - 1. EINVAL otherwise. */
export function requireU32(op: string, what: string, value: unknown): asserts value is number {
  if (!isU32(value))
    throw new CompcacheError('EINVAL', op, `${what} must be a whole number from 0 to 4294967295, not ${show(value)}`, {
      detail: { argument: what },
    });
}

/** A short text of any value, for a message. Never throws. */
export function show(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.length > 40 ? `${value.slice(0, 40)}…` : value);
  if (value === null || (typeof value !== 'object' && typeof value !== 'function')) return String(value);
  try {
    return Object.prototype.toString.call(value).slice(8, -1);
  } catch {
    return typeof value;
  }
}

/**
 * Reads the options of a call. Each option is read once and copied, so the checked value is the one that is used, even
 * if the caller's object changes later. EINVAL for anything that is not an object, for an object that cannot be read,
 * and for an unknown option.
 */
export function takeOptions<T extends object>(op: string, options: unknown, known: readonly (keyof T & string)[]): T {
  if (typeof options !== 'object' || options === null)
    throw new CompcacheError('EINVAL', op, `options must be an object, not ${show(options)}`);
  const given = options as Record<string, unknown>;
  const taken: Record<string, unknown> = {};
  try {
    for (const key of new Set([...Object.keys(given), ...known])) {
      const value = given[key];
      if (value === undefined) continue;
      if (!(known as readonly string[]).includes(key))
        throw new CompcacheError('EINVAL', op, `there is no option ${show(key)}; known: ${known.join(', ')}`, {
          detail: { argument: key },
        });
      taken[key] = value;
    }
  } catch (cause) {
    if (CompcacheError.made(cause)) throw cause;
    throw new CompcacheError('EINVAL', op, 'options cannot be read', { cause });
  }
  return taken as T;
}

/** Only this package has this symbol. Its classes pass it to their constructors, so that callers cannot use these. */
export const MAKER = Symbol('compcache');

/** Refuses a call of an internal constructor from outside. EINVAL. */
export function requireMaker(maker: unknown, what: string, instead: string): void {
  if (maker !== MAKER)
    throw new CompcacheError('EINVAL', `new ${what}`, `the constructor is not for callers: use ${instead}`);
}
