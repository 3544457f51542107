/**
 * Opens a zswap of a restored RAM. First everything that may run code of the caller is read; then codecs are loaded and
 * the store is tested. Only then something changes, in one step that runs no foreign code.
 */
import { OUT_PLACE, ZSWAP_STORE_SLOTS, ZSWAP_WRITTEN } from '../../../assembly/abi.ts';
import type { BackingStore } from '../../backing/types.ts';
import type { ForeignCodec } from '../../codec/foreign.ts';
import { CompcacheError, show, takeOptions } from '../../errors.ts';
import type { FrontIn } from '../../fronts.ts';
import { rams, type Ram } from '../../ram.ts';
import type { Codec } from '../../types.ts';
import { ioFor, releaseWhenEnded, takeStore } from '../common/attach.ts';
import { codecsNamed, takeCodecs } from '../common/given-codecs.ts';
import { requireTakenStore, type TakenStore } from '../common/options.ts';
import { requireFits, requireRightStore, requireUnopened, type InStore, type Unopened } from '../common/reopen.ts';
import { connect } from './lifecycle.ts';
import { readSettings, type SavedSettings } from './note.ts';
import { Pools } from './pools.ts';
import { State } from './state.ts';

/** Options of open. All other settings come from the RAM. There is no clock. */
export interface ZswapOpenOptions {
  /**
   * The backing store that the zswap had, or a copy of it. Needed only if a page is in it; without it, nothing is
   * written back. It belongs to one front end at a time, as in create.
   */
  store?: BackingStore;
  /**
   * All codecs that the zswap ever had and that neither the core nor loadCodec has, at most 256. A codec is found by
   * the first 64 characters of its name. Codecs with the same name must be in the order in which the zswap got them.
   */
  codecs?: readonly Codec[];
}

/** An unopened zswap, with its settings. */
interface Found extends Unopened {
  saved: SavedSettings;
  had: InStore;
  store: TakenStore | undefined;
}

/** The front ends that are being opened. */
const opening = new WeakSet<FrontIn>();

/**
 * Opens a zswap. After an error nothing has changed.
 * @param otherwise makes a store if the zswap had one and none is given. No page is in the store then
 */
export async function open(
  op: string,
  ram: Ram,
  name: string,
  given: ZswapOpenOptions,
  otherwise?: () => BackingStore,
): Promise<State> {
  if (!rams.is(ram)) throw new CompcacheError('EINVAL', op, `ram must be a Ram, not ${show(ram)}`);
  const options = takeOptions<ZswapOpenOptions>(op, given, ['store', 'codecs']);
  const taken = options.store === undefined ? undefined : requireTakenStore(op, options.store);
  const codecs = options.codecs === undefined ? [] : takeCodecs(op, options.codecs);
  const front = rams.unopened(op, ram, name, 'zswap');
  const core = rams.core(op, ram);
  if (opening.has(front)) throw new CompcacheError('EBUSY', op, `${show(front.name)} is being opened`);
  const figure = (which: number): number => core.exports.zswapFigure(front.address, which) >>> 0;
  const had = { slots: figure(ZSWAP_STORE_SLOTS), pages: figure(ZSWAP_WRITTEN) };
  const found = { front, ram, core, saved: readSettings(op, core, front.address), had, store: taken };
  requireFits(op, found, had, taken, 'store');
  if (taken === undefined && otherwise !== undefined) {
    found.store = requireTakenStore(op, otherwise());
    requireFits(op, found, had, found.store, 'store');
  }
  opening.add(front);
  try {
    return await attach(op, found, codecs);
  } finally {
    opening.delete(front);
  }
}

async function attach(op: string, found: Found, given: readonly ForeignCodec[]): Promise<State> {
  const { ram, core, saved, store, front } = found;
  const { name, address } = front;
  const { io, events } = ioFor(store, saved.settings);
  if (io !== undefined) takeStore(op, io.store);
  let state: State;
  try {
    const codecs = await codecsNamed(op, saved.codecs, given);
    requireUnopened(op, found);
    const pools = new Pools({ ram, core, name, address }, saved.allocator, saved.zpool);
    pools.takeOver(op, codecs);
    if (io !== undefined) await requireRightStore(op, found, found.had, io, writtenIn(found));
    requireUnopened(op, found);
    state = new State({ ram, ownRam: false, name, core, address, settings: saved.settings, pools, io });
  } catch (error) {
    if (io !== undefined) releaseWhenEnded(io);
    throw error;
  }
  core.exports.zswapSettle(address);
  // Without a store, nothing would go on with the kept victim.
  if (io === undefined) core.exports.zswapVictimEnd(address);
  rams.opened(ram, front);
  connect(state, events);
  state.settle();
  return state;
}

/** Each call puts the slot of the next page in the store into the core's result words (see requireSameStore). */
function writtenIn({ core: { exports, out }, front: { address } }: Found): () => boolean {
  let place = 0;
  let ended = false;
  return () => {
    if (ended || exports.zswapWritten(address, place) === 0) return false;
    place = ((out[OUT_PLACE] as number) + 1) >>> 0;
    ended = place === 0;
    return true;
  };
}
