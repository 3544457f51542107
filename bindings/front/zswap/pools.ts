/**
 * The zpools of a zswap: the current one, which takes new pages, and those that drain; and the codecs of their blocks.
 * This class creates and destroys the pools and tells the core about them. It calls no codec.
 */
import { FIRST_FOREIGN, OUT_BLOCK_CODEC, OUT_ENTRIES, POOLS_OF_ZSWAP, ZSWAP_CURRENT } from '../../../assembly/abi.ts';
import { DEFAULT_ALLOCATOR, rowOf } from '../../allocators.ts';
import type { ForeignCodec } from '../../codec/foreign.ts';
import { CompcacheError, ERRNO_MIN } from '../../errors.ts';
import { contentsOf, type PoolIn } from '../../fronts.ts';
import { rams, type Ram } from '../../ram.ts';
import type { AllocatorName, ZpoolOptions } from '../../types.ts';
import type { Core, CoreExports } from '../../wasm.ts';
import { zpools, type Zpool } from '../../zpool.ts';
import { ForeignCodecs } from '../common/codecs.ts';
import { requireNames, shortName } from '../common/given-codecs.ts';

/** A zpool that has pages or is the current one. */
interface Used {
  pool: Zpool;
  allocator: AllocatorName;
  codec: number;
}

/** Where the pools are: the RAM, and the zswap in it. */
interface Place {
  ram: Ram;
  core: Core;
  name: string;
  address: number;
}

export class Pools {
  readonly codecs = new ForeignCodecs();
  readonly #place: Place;
  readonly #front: CoreExports;
  readonly #options: Omit<ZpoolOptions, 'name' | 'evict'>;
  /** The allocator that the options are for. */
  readonly #optionsOf: AllocatorName;
  readonly #used = new Map<number, Used>();
  #current!: Used;
  /** Drained pools that could not be destroyed yet. */
  #undestroyed: Zpool[] = [];
  /** One word of the RAM: how many pools have drained. */
  #drained: Uint32Array;

  /** Begins without a pool: use() makes the first one, and takeOver() takes those of a restored RAM. */
  constructor(
    place: Place,
    allocator: AllocatorName = DEFAULT_ALLOCATOR,
    options: Omit<ZpoolOptions, 'name' | 'evict'> = {},
  ) {
    const { core, address } = place;
    this.#place = place;
    this.#front = core.exports;
    this.#options = options;
    this.#optionsOf = allocator;
    this.#drained = new Uint32Array(core.memory.buffer, core.exports.zswapDrainedAt(address) >>> 0, 1);
  }

  /** The allocator of the first pool, and the options of pools with this allocator. */
  get first(): { allocator: AllocatorName; options: Omit<ZpoolOptions, 'name' | 'evict'> } {
    return { allocator: this.#optionsOf, options: this.#options };
  }

  /** How many pools there are, with those that drain. */
  get size(): number {
    return this.#used.size;
  }

  /** Allocator of the current pool. */
  get allocator(): AllocatorName {
    return this.#current.allocator;
  }

  /** Number of the codec of the current pool. */
  get codec(): number {
    return this.#current.codec;
  }

  /** True when the codec of the current pool is foreign. */
  get isForeign(): boolean {
    return this.#current.codec >= FIRST_FOREIGN;
  }

  // ── which is current ───────────────────────────────────────────────────────

  /** Makes a pool with this allocator and codec the current one. @throws ENOMEM, EBUSY, ENOSPC; nothing changes then */
  use(op: string, allocator: AllocatorName, codec: number | ForeignCodec): void {
    if (typeof codec !== 'number' && !this.codecs.has(this.codecs.numberOf(op, codec)))
      requireNames(op, [...this.codecs.names, shortName(codec.name)]);
    this.#current = this.#take(op, allocator, codec);
  }

  /**
   * Takes the pools of a restored RAM, in the order of their creation.
   * @param codecs the foreign codecs, in the order of their numbers
   * @throws EIO for pools or codecs that are not possible
   */
  takeOver(op: string, codecs: readonly ForeignCodec[]): void {
    const { core, ram, address } = this.#place;
    codecs.forEach((codec, i) => this.codecs.keep(FIRST_FOREIGN + i, codec));
    const { pools, fronts } = contentsOf(core);
    const others = new Set(fronts.filter((front) => front.address !== address).flatMap((front) => front.pools));
    const found: [index: number, at: number, used: Used][] = [];
    for (let index = 0; index < POOLS_OF_ZSWAP; index++) {
      const pool = this.#front.zswapUsed(address, index) >>> 0;
      const codec = core.out[OUT_BLOCK_CODEC] as number;
      if (pool === 0) continue;
      const at = pools.findIndex((one) => one.address === pool);
      const once = found.every(([, other]) => other !== at);
      if (!once || others.has(pool) || !this.codecs.has(codec))
        throw new CompcacheError('EIO', op, 'the pools in the RAM are invalid');
      found.push([index, at, { pool: rams.poolAt(ram, pool), allocator: (pools[at] as PoolIn).allocator, codec }]);
    }
    for (const [index, , used] of found.sort(([, a], [, b]) => a - b)) this.#used.set(index, used);
    const current = this.#used.get(this.#front.zswapFigure(address, ZSWAP_CURRENT) >>> 0);
    if (current === undefined) throw new CompcacheError('EIO', op, 'no pool in the RAM is the current one');
    this.#current = current;
  }

  #take(op: string, allocator: AllocatorName, codec: number | ForeignCodec): Used {
    const number = typeof codec === 'number' ? codec : this.codecs.numberOf(op, codec);
    let used = [...this.#used.values()].find((one) => one.allocator === allocator && one.codec === number);
    const isNew = used === undefined;
    used ??= { pool: this.#make(op, allocator), allocator, codec: number };
    const index = this.#front.zswapUse(this.#place.address, zpools.address(used.pool), number) >>> 0;
    if (index >= ERRNO_MIN) {
      if (isNew) zpools.destroy(op, used.pool);
      throw new CompcacheError('EBUSY', op, 'too many pools are draining');
    }
    this.#used.set(index, used);
    // Only now, so that a call that fails adds no codec.
    if (typeof codec !== 'number') this.codecs.keep(number, codec);
    return used;
  }

  #make(op: string, allocator: AllocatorName): Zpool {
    const { ram, name } = this.#place;
    const options = allocator === this.#optionsOf ? this.#options : {};
    return rams.makeFrontPool(op, ram, allocator, {
      ...options,
      name: rams.freshName(op, ram, `${name}/${allocator}`),
    });
  }

  // ── giving frames back ─────────────────────────────────────────────────────

  /** The pool with this index. It exists. */
  at(index: number): Zpool {
    return (this.#used.get(index) as Used).pool;
  }

  /** The pool to reclaim from: the oldest one that drains, else the current one. */
  toReclaim(): [index: number, pool: Zpool] | undefined {
    const { core, address } = this.#place;
    let found: [number, Used] | undefined;
    for (const [index, used] of this.#used) {
      this.#front.zswapUsed(address, index);
      const entries = core.out[OUT_ENTRIES] as number;
      if (entries !== 0 && (found === undefined || used !== this.#current)) found = [index, used];
      if (found !== undefined && found[1] !== this.#current) break;
    }
    return found && [found[0], found[1].pool];
  }

  /** Compacts the pools. @param victims the most frames or zspages to empty in each pool */
  compact(victims: number): void {
    for (const { pool } of this.#used.values()) zpools.compact('zswap.compact', pool, victims);
  }

  /** How many frames compaction would give back, as far as the allocator knows without a search. */
  get freeable(): number {
    let frames = 0;
    for (const { pool, allocator } of this.#used.values())
      if (rowOf(allocator).knowsFreeable) frames += this.#front.zpoolFreeable(zpools.address(pool)) >>> 0;
    return frames;
  }

  // ── their end ──────────────────────────────────────────────────────────────

  /** Destroys pools that have drained. */
  destroyDrained(): void {
    if (this.#drained[0] === 0 && this.#undestroyed.length === 0) return;
    const gone = this.#undestroyed;
    this.#undestroyed = [];
    for (;;) {
      const index = this.#front.zswapDrained(this.#place.address) >>> 0;
      const used = this.#used.get(index);
      if (used === undefined) break;
      this.#used.delete(index);
      gone.push(used.pool);
    }
    for (const pool of gone) {
      try {
        zpools.destroy('zswap.destroy', pool);
      } catch {
        this.#undestroyed.push(pool); // a victim of this pool is still being written
      }
    }
  }

  /** Forgets all pools and returns them. The caller destroys them. */
  leave(): Zpool[] {
    const pools = [...[...this.#used.values()].map(({ pool }) => pool), ...this.#undestroyed];
    this.#used.clear();
    this.#undestroyed = [];
    this.#drained = new Uint32Array(1);
    return pools;
  }
}
