/**
 * What the rooms of a zswap share: where it is in its RAM, its pools, settings and store, and what goes on in it. It makes the
 * zswap in the core; life.ts ends it. Of foreign code it calls a codec, to decompress.
 */
import { RAW_KEYS, VICTIM_ENTRY, VICTIM_PAGE, ZSWAP_IN_FLIGHT } from '../../../assembly/abi.ts';
import type { ForeignCodec } from '../../codec/foreign.ts';
import { CompcacheError, codeOf, isU32, requireU32, show } from '../../errors.ts';
import { SHAPES } from '../../page-table.ts';
import { rams, type FrontEnd, type Ram } from '../../ram.ts';
import type { Core, CoreExports } from '../../wasm.ts';
import { ActiveCalls } from '../common/active.ts';
import { createFront, noFrame } from '../common/attach.ts';
import { SlotFrees } from '../common/slot-frees.ts';
import { StoreIo } from '../common/store-io.ts';
import { Pools } from './pools.ts';
import { Budget, Settings, type TakenZswapOptions } from './settings.ts';
import { Figures } from './stats.ts';

/** Highest type of a page; above are keys of the index's own. */
const TYPE_MAX = RAW_KEYS - 1;

/** Requires the type and offset of a page. EINVAL. */
export function requireKey(op: string, type: number, offset: number): void {
  if (!isU32(offset)) requireU32(op, 'offset', offset);
  if (!isU32(type) || type > TYPE_MAX) throw new CompcacheError('EINVAL', op, `type must be a whole number from 0 to ${TYPE_MAX}, not ${show(type)}`);
}

export class State {
  readonly ram: Ram;
  readonly ownRam: boolean;
  readonly name: string;
  readonly front: CoreExports;
  readonly address: number;
  readonly blockAddress: number;
  readonly settings: Settings;
  readonly budget: Budget;
  readonly pools: Pools;
  readonly figures: Figures;
  readonly io: StoreIo | undefined;
  readonly frees: SlotFrees | undefined;
  readonly frontEnd: FrontEnd;
  /** Calls that wait for the store and have things to put back when it has answered. */
  readonly active = new ActiveCalls();
  /** Pages on their way to the store that are not in the pool, by job. */
  readonly direct = new Map<number, Uint8Array>();
  /** A closed one, once all was given back. */
  core: Core;
  /** Calls so far: whether codec or store have called back. */
  calls = 0;
  /** Calls on the stack that write back. */
  running = 0;
  /** Whether nothing more may be called. */
  closed = false;
  closing: Promise<void> | undefined;

  /** @param undo notes how to undo what was done, should a later step fail */
  constructor(op: string, ram: Ram, codec: number | ForeignCodec, options: TakenZswapOptions, undo: (step: () => void) => void) {
    const { store } = options;
    this.ram = ram;
    this.ownRam = options.ram === undefined;
    this.name = rams.freshName(op, ram, 'zswap');
    const core = rams.core(op, ram);
    this.core = core;
    this.front = core.exports;
    this.blockAddress = core.exports.blockBuffer() >>> 0;
    this.settings = new Settings(options);
    this.budget = new Budget(options.writebackLimit ?? Infinity);
    const victims = this.settings.victims === 'page' ? VICTIM_PAGE : VICTIM_ENTRY;
    const shape = SHAPES[options.index ?? 'sparse'];
    const address = createFront(op, core, this.name, (epoch, name, nameBytes) => this.front.zswapCreate(victims, shape, store?.slots ?? 0, epoch, name, nameBytes));
    undo(() => void core.exports.zpoolDestroy(address));
    this.address = address;
    this.figures = new Figures(core.exports, address);
    this.io = store === undefined ? undefined
      : new StoreIo(store.source, options.maxInFlight ?? 32, options.timeout ?? 30_000, () => this.frees?.storeChanged(), store.isSync);
    this.frees = this.io === undefined ? undefined : new SlotFrees(this.io, core, address, () => this.isGone);
    this.settings.tell(core.exports, address);
    this.pools = new Pools(op, { ram, core, name: this.name, address }, codec, options.allocator, options.zpool);
    this.frontEnd = {
      name: this.name,
      ownFrames: () => this.core.exports.zpoolMetadataFrames(address) >>> 0,
      isBusy: () => this.figures.of(ZSWAP_IN_FLIGHT) !== 0,
    };
    rams.noteFront(ram, this.frontEnd, true);
  }

  /** Every call begins with this, but those that change nothing. ECLOSED. */
  live(op: string): void {
    this.calls += 1;
    if (this.isOver) throw this.closedError(op);
  }

  /** Whether nothing more is to be begun. */
  get isOver(): boolean {
    return this.closed || rams.isClosed(this.ram);
  }

  /** Whether its memory is somebody else's, or nobody's. */
  get isGone(): boolean {
    return this.core.bytes.length === 0 || rams.isClosed(this.ram);
  }

  /** Sees to slots and pools that are not needed any more. */
  settle(): void {
    this.frees?.drain();
    this.pools.reap();
  }

  /** Drops a page, in the pool and in the store. */
  lose(type: number, offset: number): void {
    this.front.zswapInvalidate(this.address, offset, type);
    this.settle();
  }

  /** The page whose block the core has put into the block buffer. The codec is foreign code. EIO. */
  decompressed(op: string): Uint8Array {
    try {
      return this.pools.codecs.decompressed(op, this.core);
    } catch (error) {
      if (!this.isOver) this.figures.count('decompressFail');
      throw error;
    }
  }

  closedError(op: string): CompcacheError {
    return new CompcacheError('ECLOSED', op, `${this.name} or its RAM is closed`);
  }

  /** The error for a result of the core. */
  failure(op: string, result: number): CompcacheError {
    switch (codeOf(result)) {
      case 'ENOMEM': return noFrame(op, this.core, result);
      case 'ENOSPC': return noSlot(op);
      case 'EINVAL': return new CompcacheError('EINVAL', op, "index 'dense' has only type 0");
      default: return new CompcacheError(codeOf(result), op, 'the page does not decompress');
    }
  }
}

/** The error for a store that has no slot for a page. */
export function noSlot(op: string): CompcacheError {
  return new CompcacheError('ENOSPC', op, 'no slot of the backing store is free');
}
