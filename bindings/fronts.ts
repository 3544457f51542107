/**
 * The contents of a RAM: its pools, and its front ends with their pools. They are read from the RAM itself, so this
 * also works after a restore.
 */
import {
  EINVAL,
  FRONT_KINDS_FROM,
  IDENTITY_KIND,
  IDENTITY_NAME,
  IDENTITY_NAME_BYTES,
  RAMZSWAP,
  ZSWAP,
  POOLS_OF_ZSWAP,
} from '../assembly/abi.ts';
import { allocatorOf, type AllocatorName } from './allocators.ts';
import type { Core } from './wasm.ts';

export type FrontKind = 'zswap' | 'ramzswap';

const KINDS: Record<number, FrontKind> = { [ZSWAP]: 'zswap', [RAMZSWAP]: 'ramzswap' };

export interface PoolIn {
  readonly name: string;
  readonly address: number;
  readonly allocator: AllocatorName;
}

export interface FrontIn {
  readonly name: string;
  readonly address: number;
  readonly kind: FrontKind;
  /** Addresses of its pools. */
  readonly pools: readonly number[];
}

/** All pools and front ends, oldest first. */
export function contentsOf({ exports, bytes }: Core): { pools: PoolIn[]; fronts: FrontIn[] } {
  const pools: PoolIn[] = [];
  const fronts: FrontIn[] = [];
  const addresses: number[] = [];
  for (let pool = exports.zpoolNext(0) >>> 0; pool !== 0; pool = exports.zpoolNext(pool) >>> 0) addresses.push(pool);
  for (const address of addresses.reverse()) {
    const identity = (word: number): number => exports.zpoolIdentity(address, word) >>> 0;
    const name = decodeName(
      bytes.slice(identity(IDENTITY_NAME), identity(IDENTITY_NAME) + identity(IDENTITY_NAME_BYTES)),
    );
    const kind = identity(IDENTITY_KIND);
    if (kind < FRONT_KINDS_FROM) pools.push({ name, address, allocator: allocatorOf(kind) as AllocatorName });
    else fronts.push({ name, address, kind: KINDS[kind] as FrontKind, pools: poolsOf(exports, address, kind) });
  }
  return { pools, fronts };
}

function poolsOf(exports: Core['exports'], front: number, kind: number): number[] {
  const found =
    kind === ZSWAP
      ? Array.from({ length: POOLS_OF_ZSWAP }, (_, index) => exports.zswapUsed(front, index) >>> 0)
      : [exports.ramzPool(front) >>> 0];
  return [...new Set(found)].filter((pool) => pool !== 0 && pool !== EINVAL);
}

/** The name of a pool. No byte is dropped, so different bytes give different names. */
export function decodeName(utf8: Uint8Array): string {
  return new TextDecoder('utf-8', { ignoreBOM: true }).decode(utf8);
}

/** Destroys a front end and its pools. Returns the core's result. */
export function destroyFront({ exports }: Core, { kind, address }: FrontIn): number {
  return (kind === 'zswap' ? exports.zswapDestroy(address) : exports.ramzDestroy(address)) >>> 0;
}
