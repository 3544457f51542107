/**
 * The state of a ramzswap, and the tests that come first in every call: is there a device, is it still the same one,
 * what time is it.
 *
 * The state is private to the class in index.ts. The files of this folder pass it on, but the caller never gets it: no
 * function of the caller is called as a method of it.
 */
import { TIME_END } from '../../../assembly/abi.ts';
import type { ForeignCodec } from '../../codec/foreign.ts';
import { CompcacheError, requireU32, show } from '../../errors.ts';
import { isPromise } from '../../promises.ts';
import type { FrontEnd } from '../../ram-access.ts';
import { rams, type Ram } from '../../ram.ts';
import { PAGE_SIZE, type Core, type CoreExports } from '../../wasm.ts';
import type { Zpool } from '../../zpool.ts';
import { ActiveCalls } from '../common/active.ts';
import type { SlotFrees } from '../common/slot-frees.ts';
import type { StoreIo } from '../common/store-io.ts';
import type { RamzswapOptions, Settings } from './settings.ts';
import { WriteQueue } from './write-queue.ts';

/** What exists while the device is initialised. */
export interface Device {
  settings: Settings;
  ram: Ram;
  core: Core;
  front: CoreExports;
  address: number;
  pool: Zpool;
  end: FrontEnd;
  pages: number;
  io: StoreIo | undefined;
  frees: SlotFrees | undefined;
  /** Gives the store back when no call of it is under way. */
  leave: () => void;
  start: number;
  blockAddress: number;
}

/** A write of a page to the store. The page may change before the write ends. */
export interface Job {
  index: number;
  slot: number;
  generation: number;
  bytes: Uint8Array;
}

/** A call of the caller's. */
export interface Call {
  /** Name of the method, for errors. */
  op: string;
  /** Time of the call, from the caller's clock. */
  time: number;
  /** True when it may wait for an asynchronous store. */
  waits: boolean;
}

/** Numbers of the codecs, by priority, and the foreign codecs. */
export interface Codecs {
  numbers: readonly number[];
  foreign: readonly ForeignCodec[];
}

export interface State {
  readonly options: RamzswapOptions;
  /** The settings of create. */
  readonly created: Settings;
  /** The compiled core, for a RAM that the device makes itself. */
  readonly module: WebAssembly.Module | undefined;
  /** Codecs that were loaded by their names. */
  readonly loaded: ReadonlyMap<unknown, ForeignCodec>;
  readonly clock: () => number;
  /** Writes by writeback that are under way, by page. A change of the page removes its write. */
  readonly moving: Map<number, Job>;
  /** Queued writes of new pages. A later write that ends first cancels those before it. */
  readonly writeQueue: WriteQueue;
  /** Calls that wait. */
  readonly active: ActiveCalls;
  settings: Settings;
  device: Device | undefined;
  codecs: Codecs;
  /** The most bytes of a block that saves memory. */
  most: number;
  memlimit: number;
  /** How many pages writeback may still write. */
  budget: number;
  counters: ReturnType<typeof noCounters>;
  /** True while an asynchronous writeback is under way. */
  busy: boolean;
  resetting: boolean;
  /** How often pages were changed. It shows if foreign code has changed one. */
  changes: number;
  closed: boolean;
  closing: Promise<void> | undefined;
}

/** The I/O counters. */
export function noCounters() {
  return {
    numReads: 0,
    numWrites: 0,
    failedReads: 0,
    failedWrites: 0,
    invalidIo: 0,
    notifyFree: 0,
    discard: 0,
    bdReads: 0,
    bdWrites: 0,
    compacted: 0,
  };
}

export function newState(
  options: RamzswapOptions,
  created: Settings,
  module: WebAssembly.Module | undefined,
  loaded: ReadonlyMap<unknown, ForeignCodec>,
): State {
  return {
    options,
    created,
    module,
    loaded,
    clock: options.clock ?? seconds,
    moving: new Map(),
    writeQueue: new WriteQueue(),
    active: new ActiveCalls(),
    settings: created,
    device: undefined,
    codecs: { numbers: [], foreign: [] },
    most: 0,
    memlimit: 0,
    budget: Infinity,
    counters: noCounters(),
    busy: false,
    resetting: false,
    changes: 0,
    closed: false,
    closing: undefined,
  };
}

/** The default clock. */
export function seconds(): number {
  return performance.now() / 1000;
}

/** Begins a call. First it calls the caller's clock, which may do anything and may throw. EINVAL. */
export function begin(state: State, op: string, waits: boolean): Call {
  const { clock } = state; // so that it is not called as a method of the state
  return { op, time: timeOf(op, clock), waits };
}

/** The time that a clock gives. EINVAL when it is no finite number. */
export function timeOf(op: string, clock: () => number): number {
  const time: unknown = clock();
  if (isPromise(time) || typeof time !== 'number' || !Number.isFinite(time))
    throw new CompcacheError('EINVAL', op, `clock must give a finite number, not ${show(time)}`);
  return time;
}

/** Converts a time to the device's own seconds. */
export function secondOf({ start }: Device, time: number): number {
  return Math.min(TIME_END - 1, Math.max(0, Math.floor(time - start)));
}

/** Requires that the device and its RAM are not closed. ECLOSED. */
export function requireOpen({ closed, options: { ram } }: State, op: string): void {
  if (closed || (ram !== undefined && rams.isClosed(ram))) throw closedDevice(op);
}

/** The device. ENODEV before init; EBUSY while it is being reset; ECLOSED. */
export function live(state: State, op: string): Device {
  const { device } = state;
  if (device === undefined || state.closed || state.resetting || rams.isClosed(device.ram)) throw notLive(state, op);
  return device;
}

/** The error when there is no usable device. */
function notLive(state: State, op: string): CompcacheError {
  requireOpen(state, op);
  if (state.device === undefined) return new CompcacheError('ENODEV', op, 'the device is not initialised');
  if (rams.isClosed(state.device.ram)) return new CompcacheError('ECLOSED', op, 'the RAM is closed');
  return new CompcacheError('EBUSY', op, 'the device is being reset');
}

export function requireUninitialised(state: State, op: string): void {
  requireOpen(state, op);
  if (state.device !== undefined) throw new CompcacheError('EBUSY', op, 'the device is initialised: reset it first');
}

/** True when the device of a call has ended meanwhile. */
export function isGone(state: State, device: Device): boolean {
  return state.device !== device || rams.isClosed(device.ram);
}

/** Requires that the device has not ended meanwhile. ECLOSED. */
export function requireSameDevice(state: State, op: string, device: Device): void {
  if (isGone(state, device)) throw closedDevice(op);
}

function closedDevice(op: string): CompcacheError {
  return new CompcacheError('ECLOSED', op, 'the device or its RAM is closed');
}

/** Requires that these pages are on the device. EINVAL. */
export function requirePages(state: State, op: string, device: Device, index: number, count: number): void {
  requireU32(op, 'index', index);
  if (index + count > device.pages) throw beyond(state, op, device);
}

/** Makes the error for a request beyond the device, and counts it. */
export function beyond({ counters }: State, op: string, { pages }: Device): CompcacheError {
  counters.invalidIo += 1;
  return new CompcacheError('EINVAL', op, `the request goes beyond the device of ${pages * PAGE_SIZE} bytes`);
}
