/** Random actions on swap spaces without a limit of time; test/random/long.ts calls it. */
import fc from 'fast-check';
import { loadCodec, type Codec } from '../../bindings/index.ts';
import { ALL_BUILDS } from '../harness.ts';
import { actions, rows } from './swap-actions.ts';
import { Clock } from './clock.ts';
import { FrontMachine, type FrontAction, type FrontRow } from './swap-machine.ts';

const ROUND = 600;
const SHRINK_MS = 60_000;

interface Round {
  row: FrontRow;
  seed: number;
  actions: FrontAction[];
}

/** Runs a list of actions from the start. @returns the error, or undefined */
async function play({ row, seed, actions: list }: Round, clock: Clock, deflate: Codec): Promise<unknown> {
  try {
    const machine = await FrontMachine.create(
      row,
      ALL_BUILDS[seed % 3] ?? 'release',
      clock,
      deflate,
      seed,
      seed % 2 === 0 ? '512KiB' : '1MiB',
    );
    for (const action of list) {
      const wait = machine.apply(action);
      if (wait !== undefined) await wait;
    }
    await machine.finish();
  } catch (error) {
    return error;
  }
  return undefined;
}

/** Leaves out smaller and smaller parts of the list while the round still fails. */
async function shrunk(round: Round, clock: Clock, deflate: Codec): Promise<Round> {
  const until = Date.now() + SHRINK_MS;
  for (let part = round.actions.length >> 1; part > 0; part >>= 1) {
    for (let from = 0; from < round.actions.length && Date.now() < until;) {
      const fewer = { ...round, actions: [...round.actions.slice(0, from), ...round.actions.slice(from + part)] };
      if ((await play(fewer, clock, deflate)) === undefined) from += part;
      else round = fewer;
    }
  }
  return round;
}

/** Rows whose title begins with `name`; 'all' for all rows. */
export function frontRows(name: string): FrontRow[] {
  return rows.filter(({ title }) => name === 'all' || `swap ${title}`.startsWith(name));
}

/** Runs this number of operations on one row, and prints differences. @returns whether there was none */
export async function runFront(row: FrontRow, operations: number, seed: number): Promise<boolean> {
  const started = Date.now();
  const clock = new Clock().install();
  const deflate = await loadCodec('deflate');
  try {
    let done = 0;
    for (let number = seed; done < operations; number++) {
      const [list] = fc.sample(actions(ROUND), { numRuns: 1, seed: number }) as [FrontAction[]];
      const round = { row, seed: number, actions: list };
      const error = await play(round, clock, deflate);
      if (error !== undefined) {
        console.error(`swap ${row.title}, seed ${number}: failed after ${done} operations:`, error);
        const left = await shrunk(round, clock, deflate);
        console.error(`${left.actions.length} actions are left: ${JSON.stringify(left.actions)}`);
        console.error('with them:', await play(left, clock, deflate));
        return false;
      }
      done += list.length;
    }
    console.log(
      `swap ${row.title}: ${done} operations, seed ${seed}, ${Math.round((Date.now() - started) / 1000)} s: no difference`,
    );
    return true;
  } finally {
    clock.restore();
  }
}
