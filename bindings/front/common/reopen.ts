/**
 * What is asked before a front end that lies in a restored RAM goes on, of either kind: does its store fit, does it still rest, is
 * the store the one that it had. Changes nothing.
 */
import { CompcacheError, show } from '../../errors.ts';
import type { FrontIn } from '../../fronts.ts';
import { rams, type Ram } from '../../ram.ts';
import type { Core } from '../../wasm.ts';
import type { TakenStore } from './options.ts';
import { requireSameStore } from './recognise.ts';
import type { StoreIo } from './store-io.ts';

/** A front end that rests. */
export interface Unopened {
  ram: Ram;
  core: Core;
  front: FrontIn;
}

/** What it had in its store. */
export interface InStore {
  /** Slots of the store; 0 when there was none. */
  slots: number;
  /** Pages in it. */
  pages: number;
}

/**
 * Requires that store and RAM fit each other as far as numbers tell. EINVAL.
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

/** Requires that it rests still. ENOENT when it was dropped meanwhile, EBUSY when it was opened or inside an evict callback, ECLOSED. */
export function requireStill(op: string, { ram, front }: Unopened): void {
  if (rams.unopened(op, ram, front.name, front.kind) !== front)
    throw new CompcacheError('EBUSY', op, `${show(front.name)} is another one now`);
}

/**
 * Requires that the store is the one that its pages are in. EINVAL, and as requireStill. Whoever has waited for it asks requireStill
 * again: others may have come before.
 * @param next as for requireSameStore
 */
export async function requireSame(
  op: string,
  unopened: Unopened,
  { pages }: InStore,
  io: StoreIo,
  next: () => boolean,
): Promise<void> {
  try {
    await requireSameStore(op, unopened.core, unopened.front.address, io, pages, next);
  } catch (error) {
    requireStill(op, unopened); // of one that is gone the store tells nothing
    throw error;
  }
}
