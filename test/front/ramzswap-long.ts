/** Long runs of the random machine of ramzswap (test/random/long.ts): rounds of 2,000 actions on each row in turn. */
import { loadCodec } from '../../bindings/index.ts';
import { ALL_BUILDS, type Build } from '../harness.ts';
import { dice } from './chaos-store.ts';
import { Clock } from './clock.ts';
import { RamzMachine } from './ramzswap-machine.ts';
import type { RamzAction, RamzRow } from './ramzswap-model.ts';
import { drawn, ramzRows } from './ramzswap-rows.ts';

const SHRINK_MS = 60_000;

/** Rounds of random actions on a ramzswap. On failure the list of actions is made shorter and shorter. */
export async function runRamzswap(operations: number, seed: number): Promise<void> {
  const started = Date.now();
  const deflate = await loadCodec('deflate');
  const clock = new Clock().install();
  const playRamz = async (
    row: RamzRow,
    build: Build,
    order: number,
    actions: readonly RamzAction[],
  ): Promise<unknown> => {
    try {
      const machine = await RamzMachine.create(row, build, clock, deflate, order);
      for (const action of actions) await machine.apply(action);
      await machine.finish();
    } catch (error) {
      return error;
    }
    return undefined;
  };
  let done = 0;
  for (let number = 0; done < operations; number++, done += 2000) {
    const order = seed + number;
    const draw = dice(order);
    const row = ramzRows[number % ramzRows.length] as RamzRow;
    const build = ALL_BUILDS[draw(ALL_BUILDS.length)] as Build;
    let actions = Array.from({ length: 2000 }, () => drawn(draw));
    const error = await playRamz(row, build, order, actions);
    if (error !== undefined) {
      console.error(`${row.title}, ${build}, seed ${order}: failed:`, error);
      const until = Date.now() + SHRINK_MS;
      for (let part = actions.length >> 1; part > 0; part >>= 1) {
        for (let from = 0; from < actions.length && Date.now() < until;) {
          const fewer = [...actions.slice(0, from), ...actions.slice(from + part)];
          if ((await playRamz(row, build, order, fewer)) === undefined) from += part;
          else actions = fewer;
        }
      }
      console.error(`${actions.length} actions are left: ${JSON.stringify(actions)}`);
      console.error('with them:', await playRamz(row, build, order, actions));
      process.exit(1);
    }
  }
  clock.restore();
  console.log(`ramzswap: ${done} actions, seed ${seed}, ${Math.round((Date.now() - started) / 1000)} s: no difference`);
}
