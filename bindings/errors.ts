/** The one error type of the package, and Linux's numbers for its codes. */
import { EBUSY, EEXIST, EINVAL, EIO, ENOENT, ENOMEM, ENOSPC, ERANGE, EUCLEAN } from '../assembly/abi.ts';

/** Every code that the package gives. */
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

/** Linux's numbers, negative: those of the core, and three that only the bindings give. */
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

/** What is known of a fault, as data. */
export type ErrorDetail = Readonly<Record<string, string | number>>;

/** A fault of any call of this package. */
export class CompcacheError extends Error {
  /** Only what this constructor has made has it: `instanceof` would ask the object. */
  readonly #made = true;
  override readonly name = 'CompcacheError';
  /** Symbolic code, for `switch`. */
  readonly code: ErrorCode;
  /** Linux's number for the code, negative. */
  readonly errno: number;
  /** The call that failed, as in `zpool.malloc`. */
  readonly op: string;
  /** Numbers and names of the fault, those that the message tells: `needed` and `free` frames, the `argument`, the `name` that is taken. */
  readonly detail: ErrorDetail;

  constructor(code: ErrorCode, op: string, message: string, options: { cause?: unknown; detail?: ErrorDetail } = {}) {
    super(`${op}: ${message} (${code})`, 'cause' in options ? { cause: options.cause } : undefined);
    this.detail = Object.freeze({ ...options.detail });
    this.code = code;
    this.errno = NUMBERS[code];
    this.op = op;
  }

  /** Whether something thrown is one of these. Asks nothing of it. @internal */
  static made(thrown: unknown): thrown is CompcacheError {
    return typeof thrown === 'object' && thrown !== null && #made in thrown;
  }
}

/** Results of the core from here on are errors. */
export { ERRNO_MIN } from '../assembly/abi.ts';

const BY_NUMBER = new Map<number, ErrorCode>(
  Object.entries(NUMBERS).map(([code, number]) => [number, code as ErrorCode]),
);

/** The code of a core result that is an error. */
export function codeOf(result: number): ErrorCode {
  return BY_NUMBER.get(result | 0) ?? 'EIO';
}

export function isU32(value: unknown): value is number {
  return typeof value === 'number' && value >>> 0 === value;
}

/** Requires a whole number of 0..2^32 - 1; EINVAL otherwise. */
export function requireU32(op: string, what: string, value: unknown): asserts value is number {
  if (!isU32(value))
    throw new CompcacheError('EINVAL', op, `${what} must be a whole number from 0 to 4294967295, not ${show(value)}`, {
      detail: { argument: what },
    });
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

/**
 * The options of a call. Each is read once, into an object of ours: what is checked is what is used, whatever the caller's
 * object does then. EINVAL for what is no object, cannot be read, or has an option that there is not.
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

/** What a class that has a `create` gives its constructor; whoever else calls it has no such thing. */
export const MAKER = Symbol('compcache');

/** Refuses a constructor that is not for callers. EINVAL. */
export function requireMaker(maker: unknown, what: string, instead: string): void {
  if (maker !== MAKER)
    throw new CompcacheError('EINVAL', `new ${what}`, `the constructor is not for callers: use ${instead}`);
}
