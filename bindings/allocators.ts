/** The allocators as the bindings know them: names, numbers in the core, options. */
import { CompcacheError, isU32, show, takeOptions } from './errors.ts';
import type { AllocatorName, ZpoolOptions } from './types.ts';

/** Numbers of the allocators in the core (assembly/mem/pool.ts). */
export const KINDS: Record<AllocatorName, number> = { zbud: 1, z3fold: 2, zsmalloc: 3, xvmalloc: 4, xcfmalloc: 5 };

/** Names of the allocators. */
export const ALLOCATORS = Object.keys(KINDS) as readonly AllocatorName[];

/** The options that an allocator has beside those of all pools. */
export const ALLOCATOR_OPTIONS: Record<AllocatorName, readonly (keyof ZpoolOptions)[]> = {
  zbud: ['layout'],
  z3fold: ['deferred'],
  zsmalloc: ['chainSize', 'chainRule', 'fullnessGroups'],
  xvmalloc: [],
  xcfmalloc: ['blocks', 'reserve'],
};

/** The options of a pool as they are now. EINVAL for another allocator's. */
export function takeZpoolOptions(op: string, allocator: AllocatorName, options: unknown): ZpoolOptions {
  return takeOptions<ZpoolOptions>(op, options, ['name', 'evict', ...ALLOCATOR_OPTIONS[allocator]]);
}

/** The three option words of a pool (assembly/zpool.ts zpoolCreate). EINVAL for a bad value. */
export function optionWords(op: string, allocator: AllocatorName, options: ZpoolOptions): [number, number, number] {
  const pick = <T>(name: string, value: T | undefined, choices: Map<T, number>, otherwise: T): number => {
    const word = choices.get(value ?? otherwise);
    if (word === undefined) throw new CompcacheError('EINVAL', op, `${name} must be ${[...choices.keys()].map(show).join(' or ')}, not ${show(value)}`);
    return word;
  };
  if (options.evict !== undefined && typeof options.evict !== 'function') throw new CompcacheError('EINVAL', op, 'evict must be a function');
  if (allocator === 'zbud') return [pick('layout', options.layout, new Map([['6.1', 1], ['2013', 0]]), '6.1'), 0, 0];
  if (allocator === 'z3fold') return [pick('deferred', options.deferred, new Map([['afterFree', 0], ['manual', 1]]), 'afterFree'), 0, 0];
  if (allocator === 'xvmalloc') return [0, 0, 0];
  if (allocator === 'xcfmalloc') {
    const reserve = options.reserve ?? 32;
    if (!isU32(reserve) || reserve > 1024) throw new CompcacheError('EINVAL', op, `reserve must be 0 to 1024, not ${show(reserve)}`);
    return [pick('blocks', options.blocks, new Map([[1, 1], [2, 2]]), 2), reserve, 0];
  }
  const chain = options.chainSize ?? 8;
  if (!isU32(chain) || chain < 1 || chain > 16) throw new CompcacheError('EINVAL', op, `chainSize must be 1 to 16, not ${show(chain)}`);
  return [
    chain,
    pick('chainRule', options.chainRule, new Map([['bytes', 0], ['percent', 1]]), 'bytes'),
    pick('fullnessGroups', options.fullnessGroups, new Map([[12, 12], [4, 4]]), 12),
  ];
}
