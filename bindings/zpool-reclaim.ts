/**
 * Reclaim: shrink's loop over the victims of a pool, and the calls of the evict callback. The callback is the caller's
 * code. It may do anything except destroy the pool or close its RAM. Each isolated victim is released, whatever the
 * callback does.
 */
import { OUT_CURSOR } from '../assembly/abi.ts';
import { CompcacheError } from './errors.ts';
import { isPromise } from './promises.ts';
import type { Handle } from './plain-types.ts';
import type { CoreExports } from './wasm.ts';

const TRIES = 8;
/** The most tries without a freed frame, for one shrink and all shrinks that its callbacks call. */
const TRIES_IN_ALL = 256;
/** A number of nested calls that need more stack than releasing a victim. */
const STACK_CALLS = 256;

/** The parts of a RAM that a pool needs beside the public API. */
export interface Owner {
  /** How many evict callbacks are running, nested in each other. */
  evicting: number;
  forget(name: string): void;
}

/**
 * Evict callbacks in all RAMs of this realm. `running`: how many are nested in each other now, for Ram.restore.
 * `tries`: how many tries of the running shrinks gave no frame yet. This number is limited. Otherwise callbacks that
 * shrink again would make eight to the power of their depth tries.
 */
export const callbacks = { running: 0, tries: 0 };

/** A pool to reclaim frames from. */
export interface Reclaimed {
  readonly exports: CoreExports;
  /** The result area of the core. */
  readonly out: Uint32Array;
  readonly address: number;
  readonly owner: Owner;
  /** Calls the evict callback with a handle. */
  evict(handle: Handle): unknown;
}

/** Evicts until `pages` frames (at least 1) came back. Returns how many came back. @throws as Zpool.shrink */
export function reclaim(pool: Reclaimed, pages: number): number {
  let freed = 0;
  if (callbacks.running === 0) callbacks.tries = 0;
  while (freed < pages) {
    const { frames, failure } = tryVictims(pool);
    pool.exports.zpoolRunDeferred(pool.address, 0);
    freed += frames;
    if (frames !== 0) continue;
    if (freed !== 0) break;
    throw failure;
  }
  return freed;
}

/** Tries up to eight victims, until one is emptied. Returns the frames that came back, or the reason why none did. */
function tryVictims(pool: Reclaimed): { frames: number; failure?: CompcacheError } {
  const { exports, address } = pool;
  const op = 'zpool.shrink';
  let cause: { cause: unknown } | undefined;
  const before = callbacks.tries;
  for (let tries = 0; tries < TRIES && callbacks.tries < TRIES_IN_ALL; tries++) {
    requireStack(op);
    const victim = exports.zpoolIsolate(address) >>> 0;
    if (victim === 0 && tries === 0)
      return { frames: 0, failure: new CompcacheError('EINVAL', op, 'nothing is evictable') };
    if (victim === 0) break;
    callbacks.tries += 1;
    let answer: EvictAnswer;
    let frames = 0;
    try {
      answer = evictAll(pool, victim);
    } finally {
      frames = exports.zpoolRelease(address, victim) >>> 0;
    }
    if (frames !== 0) {
      callbacks.tries = before;
      return { frames };
    }
    if (answer === 'promise') {
      return {
        frames: 0,
        failure: new CompcacheError('EINVAL', op, 'the evict callback returned a Promise; it must be synchronous'),
      };
    }
    if (typeof answer === 'object') cause = answer;
  }
  return {
    frames: 0,
    failure: new CompcacheError(
      'EAGAIN',
      op,
      `no frame came back in ${TRIES} tries, or in ${TRIES_IN_ALL} tries of nested shrinks`,
      cause,
    ),
  };
}

/** Calls evict for each object of a victim until one call refuses. */
function evictAll({ exports, out, address, owner, evict }: Reclaimed, victim: number): EvictAnswer {
  let cursor = 0;
  for (;;) {
    const handle = exports.zpoolVictimNext(address, victim, cursor) >>> 0;
    if (handle === 0) return 'done';
    cursor = out[OUT_CURSOR] as number;
    callbacks.running += 1;
    owner.evicting += 1;
    try {
      const answer: unknown = evict(handle as Handle);
      if (answer === false) return 'refused';
      if (isPromise(answer)) return 'promise';
    } catch (cause) {
      return { cause };
    } finally {
      callbacks.running -= 1;
      owner.evicting -= 1;
    }
  }
}

/**
 * Requires room on the stack for STACK_CALLS more calls. An isolated victim must be released in any case, and releasing
 * takes more stack than isolating. So callbacks that call shrink without end fail before a victim is isolated, and not
 * between the two. EAGAIN.
 */
function requireStack(op: string): void {
  try {
    useStack(STACK_CALLS);
  } catch (cause) {
    throw new CompcacheError('EAGAIN', op, 'the stack is nearly used up', { cause });
  }
}

function useStack(calls: number): number {
  return calls === 0 ? 0 : 1 + useStack(calls - 1);
}

/** How the evict calls for one victim ended. An object holds the error that the callback threw. */
type EvictAnswer = 'done' | 'refused' | 'promise' | { cause: unknown };
