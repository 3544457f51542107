/**
 * Tests before a front end of a restored RAM is opened: has the store enough slots, is the front end still unopened, is
 * the store the one that it had. Nothing changes here.
 */
import { CompcacheError, show } from '../../errors.ts';
import type { FrontIn } from '../../fronts.ts';
import { rams, type Ram } from '../../ram.ts';
import type { Core } from '../../wasm.ts';
import type { TakenStore } from './options.ts';
import { requireSameStore } from './recognise.ts';
import type { StoreIo } from './store-io.ts';

/** A front end of a restored RAM that is not open. */
export interface Unopened {
  ram: Ram;
  core: Core;
  front: FrontIn;
}

/** What the front end had in its store. */
export interface InStore {
  /** Slots of the store; 0 when there was none. */
  slots: number;
  /** Pages in the store. */
  pages: number;
}

/**
 * Requires that the store has enough slots, and that a store is given if it is needed. EINVAL.
 * @param option name of the option that gives the store
 */
export function requireFits(
  op: string,
  { front }: Unopened,
  { slots, pages }: InStore,
  store: TakenStore | undefined,
  option: string,
): void {
  if (store === undefined) {
    if (pages === 0) return;
    throw new CompcacheError('EINVAL', op, `${pages} pages are in a backing store: give it as ${option}`);
  }
  if (slots === 0) throw new CompcacheError('EINVAL', op, `${show(front.name)} had no backing store`);
  if (store.slots < slots)
    throw new CompcacheError(
      'EINVAL',
      op,
      `the store has ${store.slots} slots, the one that ${show(front.name)} had has ${slots}`,
    );
}

/**
 * Requires that the front end is still unopened. ENOENT it was dropped meanwhile; EBUSY it was opened meanwhile, or an
 * evict callback is running; ECLOSED.
 */
export function requireUnopened(op: string, { ram, front }: Unopened): void {
  if (rams.unopened(op, ram, front.name, front.kind) !== front)
    throw new CompcacheError('EBUSY', op, `another front end has the name ${show(front.name)} now`);
}

/**
 * Requires that the store has the pages of the front end. EINVAL, and the errors of requireUnopened. The caller calls
 * requireUnopened again after this, because other calls may have run meanwhile.
 * @param next as for requireSameStore
 */
export async function requireRightStore(
  op: string,
  unopened: Unopened,
  { pages }: InStore,
  io: StoreIo,
  next: () => boolean,
): Promise<void> {
  try {
    await requireSameStore(op, unopened.core, unopened.front.address, io, pages, next);
  } catch (error) {
    requireUnopened(op, unopened); // if the front end is gone, this error is the right one
    throw error;
  }
}
