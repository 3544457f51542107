/**
 * Opens a device of a restored RAM. First everything that may run code of the caller is read, then codecs are loaded
 * and the store is tested. Only then something changes, in one step that runs no foreign code.
 */
import { OUT_KEY_LOW, RAMZ_STORE, RAMZ_WRITTEN } from '../../../assembly/abi.ts';
import type { BackingStore } from '../../backing/types.ts';
import { CORE_CODECS } from '../../codec/core.ts';
import { type ForeignCodec } from '../../codec/foreign.ts';
import { LOADABLE_CODECS } from '../../codec/index.ts';
import { CompcacheError, show, takeOptions } from '../../errors.ts';
import { contentsOf } from '../../fronts.ts';
import { rams, type Ram } from '../../ram.ts';
import type { Codec } from '../../types.ts';
import type { Zpool } from '../../zpool.ts';
import { ioFor, releaseWhenEnded, takeStore, type StoreEvents } from '../common/attach.ts';
import { shortName, takeCodecs } from '../common/given-codecs.ts';
import { requireTakenStore, resolveCodec, type TakenStore } from '../common/options.ts';
import { requireFits, requireRightStore, requireUnopened, type InStore, type Unopened } from '../common/reopen.ts';
import type { StoreIo } from '../common/store-io.ts';
import { setDevice, buildDevice } from './attach.ts';
import { readSettings, type SavedSettings } from './note.ts';
import { numbered } from './codecs.ts';
import type { Settings } from './settings.ts';
import { newState, seconds, timeOf, type State } from './state.ts';

/** Options of open. All other settings come from the RAM. */
export interface RamzswapOpenOptions {
  /**
   * The backing store that the device had, or a copy of it. Needed only if a page is in it. It belongs to one front end
   * at a time, as in create.
   */
  backing?: BackingStore;
  /**
   * Codecs of the device that neither the core nor loadCodec has. A codec is found by the first 64 characters of its
   * name.
   */
  codecs?: readonly Codec[];
  /** Gives seconds, as in create. The time of the device goes on from the last access that its pages record. */
  clock?: () => number;
}

/** An unopened device, with its pool and settings. */
interface Found extends Unopened {
  pool: Zpool;
  saved: SavedSettings;
  had: InStore;
}

/** Opens a device. Returns its state. */
export async function open(op: string, ram: Ram, name: string, given: RamzswapOpenOptions): Promise<State> {
  if (!rams.is(ram)) throw new CompcacheError('EINVAL', op, `ram must be a Ram, not ${show(ram)}`);
  const {
    backing,
    codecs,
    clock = seconds,
  } = takeOptions<RamzswapOpenOptions>(op, given, ['backing', 'codecs', 'clock']);
  if (typeof clock !== 'function') throw new CompcacheError('EINVAL', op, 'clock must be a function');
  const time = timeOf(op, clock);
  const foreign = codecs === undefined ? [] : takeCodecs(op, codecs);
  const store = backing === undefined ? undefined : requireTakenStore(op, backing);
  const found = requireFound(op, ram, name, store);
  const settings = {
    ...found.saved.settings,
    ...(await takenCodecs(op, found.saved.codecs, foreign)),
    ...(store === undefined ? {} : { backing: store.source }),
  };
  const { io, events } = ioFor(store, found.saved.place);
  requireUnopened(op, found);
  if (io !== undefined) {
    takeStore(op, io.store);
    try {
      await requireRightStore(op, found, found.had, io, backedIn(found));
      requireUnopened(op, found);
    } catch (error) {
      releaseWhenEnded(io);
      throw error;
    }
  }
  const state = newState({ ...found.saved.place, ram, clock }, settings, undefined, new Map());
  openDevice(state, op, found, { settings, time, io, events });
  return state;
}

// ── what lies in the RAM ─────────────────────────────────────────────────────

/** Finds the device with this name, and requires that the store has enough slots. ENOENT, EBUSY, EINVAL, EIO. */
function requireFound(op: string, ram: Ram, name: string, store: TakenStore | undefined): Found {
  const front = rams.unopened(op, ram, name, 'ramzswap');
  const core = rams.core(op, ram);
  const { pools, fronts } = contentsOf(core);
  const [address] = front.pools;
  const allocator = pools.find((pool) => pool.address === address)?.allocator;
  const others = fronts.filter((other) => other.address !== front.address).flatMap((other) => other.pools);
  if (address === undefined || allocator === undefined || others.includes(address))
    throw new CompcacheError('EIO', op, 'the device has no pool of its own');
  const saved = readSettings(op, core, front.address, allocator);
  const figure = (which: number): number => core.exports.ramzFigure(front.address, which);
  const had = { slots: figure(RAMZ_STORE), pages: figure(RAMZ_WRITTEN) };
  requireFits(op, { ram, core, front }, had, store, 'backing');
  return { ram, core, front, pool: rams.poolAt(ram, address), saved, had };
}

/** Each call puts the slot of the next page in the store into the core's result words (see requireSameStore). */
function backedIn({ core: { exports, out }, front: { address } }: Found): () => boolean {
  let index = 0;
  return () => {
    if (exports.ramzBacked(address, index) === 0) return false;
    index = (out[OUT_KEY_LOW] as number) + 1;
    return true;
  };
}

/**
 * The codecs of a device, by priority. EINVAL for a codec that is not given, ENODEV for one that this host does not
 * have.
 */
async function takenCodecs(
  op: string,
  names: SavedSettings['codecs'],
  foreign: readonly ForeignCodec[],
): Promise<Pick<Settings, 'codec' | 'recompCodecs'>> {
  const taken: (number | ForeignCodec)[] = [];
  for (const name of names)
    taken.push(
      typeof name === 'number'
        ? name
        : (foreign.find((codec) => shortName(codec.name) === name) ?? (await loaded(op, name))),
    );
  const [codec = CORE_CODECS.lz4, ...recompCodecs] = taken;
  return recompCodecs.length === 0 ? { codec } : { codec, recompCodecs };
}

async function loaded(op: string, name: string): Promise<number | ForeignCodec> {
  if ((LOADABLE_CODECS as readonly string[]).includes(name)) return resolveCodec(op, name);
  throw new CompcacheError('EINVAL', op, `the device needs the codec ${show(name)}: give it in codecs`);
}

// ── it goes on ───────────────────────────────────────────────────────────────

interface OpenParts {
  settings: Settings;
  time: number;
  io: StoreIo | undefined;
  events: StoreEvents;
}

/** Makes the device. Nothing here fails. Slots that are to be freed are given to the store last. */
function openDevice(
  state: State,
  op: string,
  { front: { name, address }, front, core, pool, saved, had }: Found,
  { settings, time, io, events }: OpenParts,
): void {
  const { ram } = state.options as { ram: Ram };
  const { exports } = core;
  const codecs = numbered(state, op, settings);
  const start = Math.floor(time) - (exports.ramzLastSecond(address) >>> 0);
  exports.ramzSettle(address);
  rams.opened(ram, front);
  const plan = { settings, pages: saved.pages, slots: had.slots, start, io, events };
  const device = buildDevice(state, plan, { ram, core, front: exports, address, pool, name });
  setDevice(state, device, codecs);
  state.budget = saved.budget;
  device.frees?.drain();
}
