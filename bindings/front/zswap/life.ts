/**
 * How a zswap begins and ends: it takes its RAM and its store, and gives both back. Of foreign code, only a codec is loaded here,
 * and the store asked to sync.
 */
import { Ram, rams } from '../../ram.ts';
import { closedCore } from '../../wasm.ts';
import { zpools } from '../../zpool.ts';
import { attached, leaveStore, leaveWhenEnded, takeStore } from '../common/attach.ts';
import { RAM_KEYS, resolveCodec } from '../common/options.ts';
import type { Outcome } from '../common/store-io.ts';
import type { TakenZswapOptions } from './settings.ts';
import { State } from './state.ts';

/** Begins one. What fails leaves nothing behind. */
export async function open(op: string, options: TakenZswapOptions): Promise<State> {
  const codec = await resolveCodec(op, options.codec);
  const ram = options.ram ?? (await Ram.create(pick(options, RAM_KEYS)));
  return attached((undo) => {
    if (options.ram === undefined) undo(() => rams.close(ram));
    const store = options.store?.source;
    if (store !== undefined) {
      takeStore(op, store);
      undo(() => leaveStore(store));
    }
    return new State(op, ram, codec, options, undo);
  });
}

/** Ends it. All that can fail comes first. @throws EBUSY inside an evict callback in its RAM */
export function close(op: string, state: State): Promise<void> {
  if (state.closing !== undefined) return state.closing;
  rams.requireIdle(op, state.ram);
  let end: (end: Promise<void>) => void = () => undefined;
  // A store that closes it again while it is asked to sync gets the same promise.
  state.closing = new Promise((resolve) => (end = resolve));
  end(finish(op, state));
  return state.closing;
}

async function finish(op: string, state: State): Promise<void> {
  const { io, active } = state;
  state.closed = true;
  state.calls += 1;
  // A store or codec that closes it is called by something that has things to put back.
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

/** Gives back what it has: the store, and its frames. Nothing foreign runs in here. */
function release(op: string, state: State): void {
  const { ram, front, address } = state;
  const pools = state.pools.leave();
  state.core = closedCore();
  state.direct.clear();
  if (state.io !== undefined) leaveWhenEnded(state.io);
  if (rams.isClosed(ram)) return;
  rams.noteFront(ram, state.frontEnd, false);
  if (state.ownRam) {
    rams.close(ram);
    return;
  }
  for (const pool of pools) zpools.destroy(op, pool);
  front.zpoolDestroy(address);
}

function pick<T extends object>(from: T, keys: readonly (keyof T)[]): Partial<T> {
  return Object.fromEntries(keys.filter((key) => from[key] !== undefined).map((key) => [key, from[key]])) as Partial<T>;
}
