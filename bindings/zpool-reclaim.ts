/**
 * Reclaim: the loop of shrink over the victims of a pool, and the calls of its evict callback, which is the caller's and may do
 * anything but destroy the pool or close its RAM. Each victim that was isolated is released, whatever the callback does.
 */
import { OUT_CURSOR } from '../assembly/abi.ts';
import { CompcacheError } from './errors.ts';
import { isPromise } from './promises.ts';
import type { Handle } from './plain-types.ts';
import type { CoreExports } from './wasm.ts';

const TRIES = 8;
/** The most tries without a frame of one shrink and all those that its callbacks make. */
const TRIES_IN_ALL = 256;
/** Calls that take more stack than releasing a victim. */
const STACK_CALLS = 256;

/** What a pool needs of its RAM beside the public API. */
export interface Owner {
  /** Depth of evict callbacks that are running. */
  evicting: number;
  forget(name: string): void;
}

/**
 * Evict callbacks in all RAMs of this realm: how many run inside each other, for Ram.restore; and how many tries of the shrinks
 * that run have brought nothing yet. Those have a bound: callbacks that shrink again would take eight to the power of their depth.
 */
export const callbacks = { running: 0, tries: 0 };

/** A pool of which frames are wanted. */
export interface Reclaimed {
  readonly exports: CoreExports;
  /** The result area of the core. */
  readonly out: Uint32Array;
  readonly address: number;
  readonly owner: Owner;
  /** Calls the evict callback. */
  evict(handle: Handle): unknown;
}

/** Evicts until so many frames, at least 1, have come back: how many did. @throws as Zpool.shrink */
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

/** Up to eight victims, until one is empty: the frames it brought, or why none did. */
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
      `no frame came back in ${TRIES} tries, or in ${TRIES_IN_ALL} of shrinks inside each other`,
      cause,
    ),
  };
}

/** Calls evict for each object of a victim until one is refused. */
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
 * Requires room for so many more calls on the stack. A victim that was isolated must be released whatever happens, and that
 * takes more stack than isolating it did: so callbacks that call again without end are stopped before, not between. EAGAIN.
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

/** How the calls of evict for one victim ended; an object holds what the callback threw. */
type EvictAnswer = 'done' | 'refused' | 'promise' | { cause: unknown };
