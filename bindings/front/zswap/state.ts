/**
 * What the rooms of a zswap share: where it is in its RAM, its pools, settings and store, and what goes on in it. life.ts makes
 * the zswap in the core and ends it; reopen.ts finds it in a restored RAM. Of foreign code this calls a codec, to decompress.
 */
import { RAW_KEYS, ZSWAP_IN_FLIGHT } from '../../../assembly/abi.ts';
import { SLOT_BYTES } from '../../backing/types.ts';
import { CompcacheError, codeOf, isU32, requireU32, show } from '../../errors.ts';
import type { FrontEnd } from '../../ram-access.ts';
import { rams, type Ram } from '../../ram.ts';
import type { Core, CoreExports } from '../../wasm.ts';
import { noFrame } from '../../zpool-errors.ts';
import { ActiveCalls } from '../common/active.ts';
import { SlotFrees } from '../common/slot-frees.ts';
import type { StoreIo } from '../common/store-io.ts';
import { keepSettings } from './note.ts';
import type { Pools } from './pools.ts';
import { Budget, tellSettings, type SettingValues } from './settings.ts';
import { Figures } from './stats.ts';

/** Highest type of a page; above are keys of the index's own. */
const TYPE_MAX = RAW_KEYS - 1;

/** Requires the type and offset of a page. EINVAL. */
export function requireKey(op: string, type: number, offset: number): void {
  if (!isU32(offset)) requireU32(op, 'offset', offset);
  if (!isU32(type) || type > TYPE_MAX)
    throw new CompcacheError('EINVAL', op, `type must be a whole number from 0 to ${TYPE_MAX}, not ${show(type)}`);
}

/** What a zswap is made of: its place in the core, with its pools, and its store. */
export interface Begun {
  ram: Ram;
  /** Whether it made the RAM, and closes it. */
  ownRam: boolean;
  name: string;
  core: Core;
  address: number;
  settings: SettingValues;
  pools: Pools;
  io: StoreIo | undefined;
}

export class State {
  readonly ram: Ram;
  readonly ownRam: boolean;
  readonly name: string;
  readonly front: CoreExports;
  readonly address: number;
  readonly blockAddress: number;
  readonly settings: SettingValues;
  readonly budget: Budget;
  readonly pools: Pools;
  readonly figures: Figures;
  readonly io: StoreIo | undefined;
  readonly frees: SlotFrees | undefined;
  readonly frontEnd: FrontEnd;
  /** Calls that wait for the store and have things to put back when it has answered. */
  readonly active = new ActiveCalls();
  /** For synchronous reads of a store that keeps nothing. */
  readonly slotBuffer = new Uint8Array(SLOT_BYTES);
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

  /** Takes what there is already. Nothing in here fails, and nothing foreign runs. */
  constructor({ ram, ownRam, name, core, address, settings, pools, io }: Begun) {
    this.ram = ram;
    this.ownRam = ownRam;
    this.name = name;
    this.core = core;
    this.front = core.exports;
    this.blockAddress = core.exports.blockBuffer() >>> 0;
    this.address = address;
    this.settings = settings;
    this.budget = new Budget(core.exports, address);
    this.pools = pools;
    this.figures = new Figures(core.exports, address);
    this.io = io;
    this.frees = io === undefined ? undefined : new SlotFrees(io, core, address, () => this.isGone);
    tellSettings(settings, core.exports, address);
    this.frontEnd = {
      name,
      ownFrames: () => this.core.exports.zpoolMetadataFrames(address) >>> 0,
      isBusy: () => this.figures.of(ZSWAP_IN_FLIGHT) !== 0,
    };
  }

  /** Keeps the settings in the RAM, for Zswap.open. */
  keepSettings(op: string): void {
    keepSettings(op, this.core, this.address, this.settings, this.pools);
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
      case 'ENOMEM':
        return noFrame(op, this.core);
      case 'ENOSPC':
        return noSlot(op);
      case 'EINVAL':
        return new CompcacheError('EINVAL', op, "index 'dense' has only type 0");
      default:
        return new CompcacheError(codeOf(result), op, 'the page does not decompress');
    }
  }
}

/** The error for a store that has no slot for a page. */
export function noSlot(op: string): CompcacheError {
  return new CompcacheError('ENOSPC', op, 'no slot of the backing store is free');
}
