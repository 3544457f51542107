/**
 * Creates a device on its RAM, with its pool and its store. First everything that may run code of the caller is read;
 * then the device is made, which runs no such code. If a step fails, the steps before it are undone.
 */
import { FRAMES_MAX } from '../../../assembly/abi.ts';
import { DEFAULT_ALLOCATOR, optionWords } from '../../allocators.ts';
import { takeOptions } from '../../errors.ts';
import type { FrontEnd } from '../../ram-access.ts';
import { Ram, rams } from '../../ram.ts';
import { PAGE_SIZE } from '../../wasm.ts';
import { zpools } from '../../zpool.ts';
import { createFront, ioFor, releaseStore, takeStore, type StoreEvents } from '../common/attach.ts';
import { requireTakenStore } from '../common/options.ts';
import { SlotFrees } from '../common/slot-frees.ts';
import type { StoreIo } from '../common/store-io.ts';
import { numbered } from './codecs.ts';
import { usePool } from './configure.ts';
import { release } from './reset.ts';
import { swapHeader } from './header.ts';
import { saveSettings } from './note.ts';
import { SETTINGS, pagesOf, takeSettings, type RamzswapSettings, type Settings } from './settings.ts';
import { begin, noCounters, requireUninitialised, type Codecs, type Device, type State } from './state.ts';
import { runNow } from './waiting.ts';
import { put } from './writing.ts';

const MIN_RAM = 64 * 2 ** 20;
const MAX_RAM = FRAMES_MAX * PAGE_SIZE;

/** What a device is made of. Making it from this runs no code of the caller. */
export interface Plan {
  settings: Settings;
  pages: number;
  slots: number;
  start: number;
  io: StoreIo | undefined;
  /** `changed` is called when a call of the store has ended or hangs. */
  events: StoreEvents;
}

/** Initialises the device. The given settings replace those of create. */
export function start(state: State, op: string, given: RamzswapSettings): void {
  const call = begin(state, op, false);
  requireUninitialised(state, op);
  const taken = takeSettings(op, takeOptions<RamzswapSettings>(op, given, SETTINGS));
  const settings = { ...state.settings, ...taken };
  const pages = pagesOf(op, settings.disksize);
  optionWords(op, settings.allocator ?? DEFAULT_ALLOCATOR, settings.zpool ?? {});
  const codecs = numbered(state, op, settings);
  const store = settings.backing === undefined ? undefined : requireTakenStore(op, settings.backing);
  const slots = store?.slots ?? 0;
  const { ram } = state.options;
  const { io, events } = ioFor(store, state.options);
  // Clock, options, codecs and store may have run code of the caller. From here on, none of it runs.
  requireUninitialised(state, op);
  if (ram !== undefined) rams.requireIdle(op, ram);
  const device = make(state, op, { settings, pages, slots, start: call.time, io, events });
  setDevice(state, device, codecs);
  saveSettings(state, op);
  try {
    if (settings.swapHeader === true) runNow(put(state, call, 0, swapHeader(pages)));
  } catch (error) {
    if (state.device === device) release(state, op);
    throw error;
  }
}

/** Sets the device of a state, and tells the core its codecs and limits. */
export function setDevice(state: State, device: Device, codecs: Codecs): void {
  state.device = device;
  state.codecs = codecs;
  state.memlimit = device.settings.memlimit ?? 0;
  state.counters = noCounters();
  state.most = mostOf(device);
  codecs.numbers.forEach((number, priority) => device.front.ramzCodec(device.address, priority, number));
  usePool(state, device);
}

/** The most bytes of a block that saves memory: a longer block takes as much as the raw page. */
function mostOf({ pool, core }: Device): number {
  return Math.min(core.exports.zpoolHugeSize(zpools.address(pool)) >>> 0, PAGE_SIZE - 1);
}

function make(state: State, op: string, plan: Plan): Device {
  const { pages, slots } = plan;
  const ram = state.options.ram ?? ownRam(state, pages);
  let undo = (): void => undefined;
  try {
    const name = rams.freshName(op, ram, 'ramzswap');
    const core = rams.core(op, ram);
    const { exports: front } = core;
    const address = createFront(op, core, name, (epoch, at, bytes) => front.ramzCreate(pages, slots, epoch, at, bytes));
    undo = () => void front.zpoolDestroy(address);
    const { allocator = DEFAULT_ALLOCATOR, zpool } = plan.settings;
    const pool = rams.makeFrontPool(op, ram, allocator, { ...zpool, name: rams.freshName(op, ram, `${name}/pool`) });
    const undoFront = undo;
    undo = () => {
      zpools.destroy(op, pool);
      undoFront();
    };
    const { backing } = plan.settings;
    if (backing !== undefined) takeStore(op, backing);
    return buildDevice(state, plan, { ram, core, front, address, pool, name });
  } catch (error) {
    undo();
    if (ram !== state.options.ram) ram.close();
    throw error;
  }
}

/**
 * Makes a RAM for this device only: large enough for all pages stored raw, the page table and the tables of the pool.
 */
function ownRam({ options: { bytes, limit }, module }: State, pages: number): Ram {
  const whole = Math.min(MAX_RAM, Math.max(MIN_RAM, Math.ceil(pages * PAGE_SIZE * 1.04) + 2 ** 22));
  return Ram.createSync({
    bytes: bytes ?? whole,
    ...(limit === undefined ? {} : { limit }),
    ...(module === undefined ? {} : { module }),
  });
}

type Made = Pick<Device, 'ram' | 'core' | 'front' | 'address' | 'pool'> & { name: string };

/** Makes the Device object and tells the RAM about it. The store is taken already. */
export function buildDevice(
  state: State,
  { settings, pages, start, io, events }: Plan,
  { name, ...parts }: Made,
): Device {
  const { core, address, ram } = parts;
  const { backing: store } = settings;
  // A later device may have the same address.
  const gone = (): boolean => state.device?.end !== end || rams.isClosed(ram);
  const frees = io === undefined ? undefined : new SlotFrees(io, core, address, gone);
  const end: FrontEnd = {
    name,
    ownFrames: () => core.exports.zpoolMetadataFrames(address) >>> 0,
    isBusy: () => state.moving.size + state.writeQueue.size !== 0,
  };
  // A write that hangs may still change a slot.
  const leave = (): void => {
    if (store === undefined || io === undefined) return;
    if (io.isSync || !io.isAtWork) releaseStore(store);
    else events.changed = leave;
  };
  events.changed = () => frees?.storeChanged();
  rams.noteFront(ram, end, true);
  return { ...parts, settings, pages, start, io, frees, end, leave, blockAddress: core.exports.blockBuffer() >>> 0 };
}
