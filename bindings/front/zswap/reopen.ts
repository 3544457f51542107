/**
 * Open: a zswap that lies in a restored RAM goes on. First all that is the caller's is asked; then codecs are loaded and the store
 * is recognised; only then something changes, in one step in which nothing foreign runs.
 */
import { OUT_PLACE, ZSWAP_STORE_SLOTS, ZSWAP_WRITTEN } from '../../../assembly/abi.ts';
import type { BackingStore } from '../../backing/types.ts';
import type { ForeignCodec } from '../../codec/foreign.ts';
import { CompcacheError, show, takeOptions } from '../../errors.ts';
import type { FrontIn } from '../../fronts.ts';
import { rams, type Ram } from '../../ram.ts';
import type { Codec } from '../../types.ts';
import { leaveWhenEnded, takeStore } from '../common/attach.ts';
import { codecsNamed, takeCodecs } from '../common/given-codecs.ts';
import { requireTakenStore, type TakenStore } from '../common/options.ts';
import { requireFits, requireSame, requireStill, type InStore, type Unopened } from '../common/reopen.ts';
import { begun, ioOf } from './lifecycle.ts';
import { notedSettings, type Noted } from './note.ts';
import { Pools } from './pools.ts';
import { State } from './state.ts';

/** What a zswap in a restored RAM is given anew: all else comes from the RAM. It has no clock. */
export interface ZswapOpenOptions {
  /**
   * The backing store that it had, or a copy of it. It may be left out when no page is in it; then nothing is written back. It
   * belongs to one front end at a time, as in create.
   */
  store?: BackingStore;
  /**
   * The codecs that it ever had and that neither the core nor loadCodec knows, at most 256. Each is known by its name, of which
   * 64 characters count; several of one name are taken in the order in which the zswap came to have them.
   */
  codecs?: readonly Codec[];
}

/** A zswap that rests, and what it goes on with. */
interface Found extends Unopened {
  noted: Noted;
  had: InStore;
  store: TakenStore | undefined;
}

/** Those that are being opened. */
const opening = new WeakSet<FrontIn>();

/**
 * Opens one. What fails changes nothing.
 * @param otherwise the store of one that is given none, and needs one; it has no page in it
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
  const found = { front, ram, core, noted: notedSettings(op, core, front.address), had, store: taken };
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
  const { ram, core, noted, store, front } = found;
  const { name, address } = front;
  const events = { changed: (): void => undefined };
  const io = store && ioOf(store, noted.settings, events);
  if (io !== undefined) takeStore(op, io.store);
  let state: State;
  try {
    const codecs = await codecsNamed(op, noted.codecs, given);
    requireStill(op, found);
    const pools = new Pools({ ram, core, name, address }, noted.allocator, noted.zpool);
    pools.takeOver(op, codecs);
    if (io !== undefined) await requireSame(op, found, found.had, io, writtenIn(found));
    requireStill(op, found);
    state = new State({ ram, ownRam: false, name, core, address, settings: noted.settings, pools, io });
  } catch (error) {
    if (io !== undefined) leaveWhenEnded(io);
    throw error;
  }
  core.exports.zswapSettle(address);
  // Without a store nothing would go on with it.
  if (io === undefined) core.exports.zswapVictimEnd(address);
  rams.opened(ram, front);
  begun(state, events);
  state.settle();
  return state;
}

/** Notes the next of its pages in the store with each call (requireSameStore). */
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
