/**
 * Creates and closes a zswap: it takes its RAM and its store, and gives both back. The only foreign code that runs here
 * loads a codec or syncs the store.
 */
import { VICTIM_ENTRY, VICTIM_PAGE } from '../../../assembly/abi.ts';
import { DEFAULT_ALLOCATOR } from '../../allocators.ts';
import type { ForeignCodec } from '../../codec/foreign.ts';
import { SHAPES } from '../../page-table.ts';
import { Ram, rams } from '../../ram.ts';
import { closedCore } from '../../wasm.ts';
import { zpools } from '../../zpool.ts';
import {
  createFront,
  ioFor,
  releaseStore,
  releaseWhenEnded,
  takeStore,
  withUndo,
  type StoreEvents,
} from '../common/attach.ts';
import { RAM_KEYS, resolveCodec } from '../common/options.ts';
import type { Outcome } from '../common/store-io.ts';
import { Pools } from './pools.ts';
import { settingsOf, tellSettings, type TakenZswapOptions } from './settings.ts';
import { State } from './state.ts';

/** Creates a zswap. After an error nothing is left. */
export async function create(op: string, options: TakenZswapOptions): Promise<State> {
  const codec = await resolveCodec(op, options.codec);
  const ram = options.ram ?? (await Ram.create(pick(options, RAM_KEYS)));
  return withUndo((undo) => {
    if (options.ram === undefined) undo(() => rams.close(ram));
    const store = options.store?.source;
    if (store !== undefined) {
      takeStore(op, store);
      undo(() => releaseStore(store));
    }
    return createInCore(op, ram, codec, options, undo);
  });
}

/** Creates the zswap in the core. @param undo adds a function that undoes a step, in case a later step fails */
function createInCore(
  op: string,
  ram: Ram,
  codec: number | ForeignCodec,
  options: TakenZswapOptions,
  undo: (step: () => void) => void,
): State {
  const { store, allocator = DEFAULT_ALLOCATOR } = options;
  const name = rams.freshName(op, ram, 'zswap');
  const core = rams.core(op, ram);
  const { exports } = core;
  const settings = settingsOf(options);
  const victims = settings.victims === 'page' ? VICTIM_PAGE : VICTIM_ENTRY;
  const shape = SHAPES[options.index ?? 'sparse'];
  const address = createFront(op, core, name, (epoch, at, bytes) =>
    exports.zswapCreate(victims, shape, store?.slots ?? 0, epoch, at, bytes),
  );
  undo(() => void exports.zpoolDestroy(address));
  exports.zswapSetBudget(address, options.writebackLimit ?? Infinity);
  const pools = new Pools({ ram, core, name, address }, allocator, options.zpool);
  tellSettings(settings, exports, address);
  pools.use(op, allocator, codec);
  undo(() => pools.leave().forEach((pool) => zpools.destroy(op, pool)));
  const { io, events } = ioFor(store, settings);
  const state = new State({ ram, ownRam: options.ram === undefined, name, core, address, settings, pools, io });
  state.saveSettings(op);
  connect(state, events);
  return state;
}

/** Connects the zswap with the events of its store, and tells the RAM that it exists. */
export function connect(state: State, events: StoreEvents): void {
  events.changed = () => state.frees?.storeChanged();
  rams.noteFront(state.ram, state.frontEnd, true);
}

/** Closes the zswap. All that can fail comes first. @throws EBUSY inside an evict callback of its RAM */
export function close(op: string, state: State): Promise<void> {
  if (state.closing !== undefined) return state.closing;
  rams.requireIdle(op, state.ram);
  let end: (end: Promise<void>) => void = () => undefined;
  // If the store calls close while it syncs, it gets the same promise.
  state.closing = new Promise((resolve) => (end = resolve));
  end(finish(op, state));
  return state.closing;
}

async function finish(op: string, state: State): Promise<void> {
  const { io, active } = state;
  state.closed = true;
  state.calls += 1;
  // If a store or codec calls close, let the calls that it runs in finish first.
  while (state.running !== 0) await undefined;
  while (active.size !== 0) await active.settled();
  let outcome: Outcome<unknown> | undefined;
  if (io !== undefined) {
    if (!io.isSync) await io.idle();
    const sync = (): unknown => io.store.sync?.();
    outcome = io.isSync ? io.now(op, sync) : await io.soon(op, sync);
  }
  release(op, state);
  if (outcome !== undefined && 'failure' in outcome) throw outcome.failure;
}

/** Gives the store and the frames back. Runs no foreign code. */
function release(op: string, state: State): void {
  const { ram, front, address } = state;
  const pools = state.pools.leave();
  state.core = closedCore();
  state.direct.clear();
  if (state.io !== undefined) releaseWhenEnded(state.io);
  if (rams.isClosed(ram)) return;
  rams.noteFront(ram, state.frontEnd, false);
  if (state.ownRam) {
    rams.close(ram);
    return;
  }
  front.zswapVictimEnd(address);
  for (const pool of pools) zpools.destroy(op, pool);
  front.zpoolDestroy(address);
}

function pick<T extends object>(from: T, keys: readonly (keyof T)[]): Partial<T> {
  return Object.fromEntries(keys.filter((key) => from[key] !== undefined).map((key) => [key, from[key]])) as Partial<T>;
}
