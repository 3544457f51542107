/**
 * The state of a zswap, which all files of this folder share: its place in the RAM, pools, settings, store, and what is
 * under way. lifecycle.ts creates and closes it; reopen.ts opens it in a restored RAM. The only foreign code that runs
 * here is a codec that decompresses.
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
import { saveSettings } from './note.ts';
import type { Pools } from './pools.ts';
import { Budget, tellSettings, type SettingValues } from './settings.ts';
import { Figures } from './stats.ts';

/** The highest type of a page. The index uses higher types for its own keys. */
const TYPE_MAX = RAW_KEYS - 1;

/** Requires the type and offset of a page. EINVAL. */
export function requireKey(op: string, type: number, offset: number): void {
  if (!isU32(offset)) requireU32(op, 'offset', offset);
  if (!isU32(type) || type > TYPE_MAX)
    throw new CompcacheError('EINVAL', op, `type must be a whole number from 0 to ${TYPE_MAX}, not ${show(type)}`);
}

/** What a State is made of: its place in the core, its pools, and its store. */
export interface StateParts {
  ram: Ram;
  /** True when the zswap made the RAM itself, and must close it. */
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
  /** Calls that wait for the store and have work to do after it. */
  readonly active = new ActiveCalls();
  /** Buffer for synchronous reads of a store that does not use it after the call. */
  readonly slotBuffer = new Uint8Array(SLOT_BYTES);
  /** Copies of pages that are pending (on their way to the store and not in the pool), by job. */
  readonly direct = new Map<number, Uint8Array>();
  /** After the end of the zswap: a closed core. */
  core: Core;
  /** How often methods were called. It shows if codec or store have called back. */
  calls = 0;
  /** Calls that write back and are running, one inside the other. */
  running = 0;
  /** True after close was called. */
  closed = false;
  closing: Promise<void> | undefined;

  /** Takes the parts. Nothing here fails, and no foreign code runs. */
  constructor({ ram, ownRam, name, core, address, settings, pools, io }: StateParts) {
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

  /** Writes the settings into the RAM, for Zswap.open. */
  saveSettings(op: string): void {
    saveSettings(op, this.core, this.address, this.settings, this.pools);
  }

  /** Every call that changes something begins with this. ECLOSED. */
  live(op: string): void {
    this.calls += 1;
    if (this.isOver) throw this.closedError(op);
  }

  /** True when no further work may begin. */
  get isOver(): boolean {
    return this.closed || rams.isClosed(this.ram);
  }

  /** True when its frames do not belong to it any more. */
  get isGone(): boolean {
    return this.core.bytes.length === 0 || rams.isClosed(this.ram);
  }

  /** Frees slots and pools that are not needed any more. */
  settle(): void {
    this.frees?.drain();
    this.pools.destroyDrained();
  }

  /** Removes a page from the pool and the store. */
  drop(type: number, offset: number): void {
    this.front.zswapInvalidate(this.address, offset, type);
    this.settle();
  }

  /** Decompresses the block in the block buffer with a foreign codec. EIO. */
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

/** The error when no slot of the store is free. */
export function noSlot(op: string): CompcacheError {
  return new CompcacheError('ENOSPC', op, 'no slot of the backing store is free');
}
