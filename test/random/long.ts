/**
 * Long traces, and random actions for as long as one likes:
 *
 *   tsx test/random/long.ts [allocator|swap|ramzswap|hostile|mutation|all] [operations] [seed]
 *
 * First, for every allocator, a million steps of churn on 50,000 live objects, the same of small sizes, and reclaim of
 * 500 frames with the order of eviction: pool and model must give the same figures. Then random actions.
 *
 * allocator: the beginning of a title of test/harness.ts ("zbud", "zsmalloc chain 8"); default all, each for so many
 * operations (default 10,000,000). Below 200 live objects everything is checked after each operation, above every
 * thousandth; contents are compared on every read and at the end of every round.
 *
 * 'swap' and the beginning of a title of test/front/swap-actions.ts ("swap zbud, victims page"): swap spaces over a store that
 * fails, a hundredth of the operations each (test/front/swap-machine.ts).
 *
 * A round is a new RAM: small and crowded (fault injection, images, exhaustion), or large with thousands of objects.
 * 'ramzswap' has the machine of test/front/ramzswap-machine.ts play its rows instead, in rounds of 2,000 actions.
 *
 * 'mutation' changes single words of RAMs, `operations` values each (20 at most), and uses what check() does not see.
 *
 * 'hostile': calls with hostile arguments, callbacks, codecs and stores (test/hostile), a million of them unless fewer operations are
 * asked for.
 *
 * On failure the round is repeated with ever fewer actions; what is left is printed with the seed, exit code 1.
 */
import { ALL_BUILDS, allocators, createRam, modelled, must, traceTarget } from '../harness.ts';
import type { ModelledRow, Build } from '../harness.ts';
import { frontRows, runFront } from '../front/swap-long.ts';
import { createDraw, runChurn2, runChurnSmall, runE6 } from '../models/trace.ts';
import type { TraceOptions, TraceTarget } from '../models/trace.ts';
import { BAD_HANDLES, MODES, Machine, POLICIES } from './machine.ts';
import type { Action } from './machine.ts';
import { drawEpisode, play as playEpisode, report as reportEpisode } from '../hostile/play.ts';
import { FILE_STORE } from '../hostile/tables/files.ts';
import { CLASSES } from '../hostile/tables/index.ts';
import { ALLOCATORS } from '../../bindings/index.ts';
import { ramzswapSubject, zswapSubject } from '../unit/mutation-fronts.ts';
import { poolSubject } from '../unit/mutation-pools.ts';
import { mutate } from '../unit/mutation-use.ts';
import { runRamzswap } from '../front/ramzswap-long.ts';

const HOSTILE = new Map([...CLASSES, ['FileStore', FILE_STORE] as const]);
const ROUND = 20_000;
const SHRINK_MS = 60_000;

interface Round {
  row: ModelledRow;
  build: Build;
  bytes: string;
  actions: Action[];
}

/** Random numbers of up to 24 bits each (test/models/trace.ts), and choices by them. */
class Dice {
  readonly draw: () => number;

  constructor(seed: number) {
    this.draw = createDraw(seed);
    for (let i = 0; i < 8; i++) this.draw();
  }

  /** 0 … below - 1. The low bits of the generator are weak, so the high bits decide. */
  below(below: number): number {
    return Math.floor((this.draw() / 2 ** 24) * below);
  }

  of<T>(choices: readonly T[]): T {
    return choices[this.below(choices.length)] as T;
  }
}

function size(dice: Dice, row: ModelledRow): number {
  switch (dice.below(6)) {
    case 0:
      return dice.of(row.edges) + dice.below(2);
    case 1:
      return 1 + dice.below(200);
    case 2:
      return dice.of([500, 1000, 1630, 2000]);
    case 3:
      return dice.below(8) === 0 ? row.largest : 1 + dice.below(1000);
    default:
      return 1 + dice.below(row.largest);
  }
}

/** Kinds by weight; malloc and free are chosen apart, so that the number of objects follows a target. */
const KINDS: readonly Action['kind'][] = [
  ...new Array<Action['kind']>(12).fill('write'),
  ...new Array<Action['kind']>(12).fill('read'),
  ...new Array<Action['kind']>(10).fill('map'),
  ...new Array<Action['kind']>(10).fill('unmap'),
  ...new Array<Action['kind']>(3).fill('shrink'),
  ...new Array<Action['kind']>(5).fill('bad'),
  'compact',
  'run deferred',
  'fail',
];

/** The next random action; the number of objects stays near the target. */
function next(dice: Dice, row: ModelledRow, live: number, target: number): Action {
  if (dice.below(3) > 0) {
    return dice.below(100) < (live < target ? 70 : 30)
      ? { kind: 'malloc', size: size(dice, row) }
      : { kind: 'free', pick: dice.draw() };
  }
  if (dice.below(400) === 0) return { kind: 'snapshot', build: dice.of(ALL_BUILDS) };
  const [pick, salt] = [dice.draw(), dice.draw()];
  switch (dice.of(KINDS)) {
    case 'write':
      return { kind: 'write', pick, at: dice.below(3) === 0 ? dice.draw() : 0, length: dice.draw(), salt };
    case 'map':
      return { kind: 'map', pick, mode: dice.of(MODES), salt };
    case 'unmap':
      return { kind: 'unmap', pick };
    case 'shrink':
      return {
        kind: 'shrink',
        pages: dice.below(5),
        policies: Array.from({ length: 1 + dice.below(4) }, () => dice.of(POLICIES)),
        salt: salt % 10,
      };
    case 'bad':
      return { kind: 'bad', what: dice.of(BAD_HANDLES), pick, call: salt };
    case 'compact':
      return { kind: 'compact' };
    case 'run deferred':
      return { kind: 'run deferred' };
    case 'fail':
      return { kind: 'fail', after: dice.below(8), times: 1 + dice.below(3) };
    default:
      return { kind: 'read', pick, at: dice.below(3) === 0 ? salt : 0 };
  }
}

/** Runs a list of actions from the start. @returns the error, or undefined */
async function play({ row, build, bytes, actions }: Round): Promise<unknown> {
  try {
    const machine = await Machine.create(row, build, { bytes });
    for (const action of actions) await machine.apply(action);
    machine.finish();
  } catch (error) {
    return error;
  }
  return undefined;
}

/** Leaves out smaller and smaller parts of the list while the round still fails. */
async function shrunk(round: Round): Promise<Round> {
  const until = Date.now() + SHRINK_MS;
  for (let part = round.actions.length >> 1; part > 0; part >>= 1) {
    for (let from = 0; from < round.actions.length && Date.now() < until;) {
      const fewer = { ...round, actions: [...round.actions.slice(0, from), ...round.actions.slice(from + part)] };
      if ((await play(fewer)) === undefined) from += part;
      else round = fewer;
    }
  }
  return round;
}

async function report(round: Round, seed: number, done: number, error: unknown): Promise<never> {
  console.error(
    `${round.row.title}, ${round.build}, ${round.bytes}, seed ${seed}: failed after ${done} operations:`,
    error,
  );
  const { actions } = await shrunk(round);
  console.error(`${actions.length} actions are left: ${JSON.stringify(actions)}`);
  console.error('with them:', await play({ ...round, actions }));
  process.exit(1);
}

const TRACES: Record<string, (target: TraceTarget, options: TraceOptions) => unknown> = {
  'a million steps of churn': (target, options) => runChurn2(target, 1_000_000, options),
  'a million steps of churn, small sizes': (target, options) => runChurnSmall(target, 1_000_000, options),
  'reclaim of 500 frames': (target, options) => runE6(target, options),
};

/** Requires the same figures from the pool and from the model. */
async function traces(row: ModelledRow): Promise<void> {
  for (const [name, trace] of Object.entries(TRACES)) {
    const started = Date.now();
    const ram = await createRam('release', { bytes: '320MiB' });
    const options = { write: row.lruByWrite };
    const [figures, expected] = [trace(traceTarget(ram, row), options), trace(row.createModel(), options)].map(
      (result) => JSON.stringify(result),
    );
    ram.check();
    ram.close();
    must(figures === expected, `${row.title}, ${name}: ${figures}, the model says ${expected}`);
    console.log(`${row.title}: ${name}, ${Math.round((Date.now() - started) / 1000)} s: no difference`);
  }
}

async function run(row: ModelledRow, operations: number, seed: number): Promise<void> {
  const started = Date.now();
  let done = 0;
  for (let number = 0; done < operations; number++) {
    const dice = new Dice(seed + number);
    const large = number % 4 === 3;
    const round: Round = {
      row,
      build: dice.of(ALL_BUILDS),
      bytes: large ? '32MiB' : dice.of(['256KiB', '1MiB', '1MiB', '2MiB']),
      actions: [],
    };
    const machine = await Machine.create(row, round.build, { bytes: round.bytes });
    let target = 0;
    try {
      for (let i = 0; i < ROUND && done < operations; i++, done++) {
        if (i % 2000 === 0) target = large ? 200 + dice.below(5000) : dice.below(220);
        const action = next(dice, row, machine.live, target);
        round.actions.push(action);
        const wait = machine.apply(action);
        if (wait !== undefined) await wait;
      }
      machine.finish();
    } catch (error) {
      await report(round, seed, done, error);
    }
    if (number % 25 === 24)
      console.log(`${row.title}: ${done} operations, ${Math.round((Date.now() - started) / 1000)} s`);
  }
  console.log(
    `${row.title}: ${done} operations, seed ${seed}, ${Math.round((Date.now() - started) / 1000)} s: no difference`,
  );
}

/**
 * Changes single words of every kind of RAM, with this number of values each, and uses the RAM when check() does not
 * notice.
 */
async function runMutation(values: number, seed: number): Promise<void> {
  const pools = allocators.flatMap((row) =>
    (['dense', 'sparse'] as const).map((keys) => () => poolSubject(row, keys, seed)),
  );
  const fronts = ALLOCATORS.flatMap((allocator) => [
    () => zswapSubject(allocator, 'entry'),
    () => zswapSubject(allocator, 'page'),
    () => ramzswapSubject(allocator),
  ]);
  for (const make of [...pools, ...fronts]) {
    const subject = await make();
    const { changes, unseen, faults } = await mutate(subject, seed, { values, contents: 16 });
    console.log(
      `${subject.title}: ${changes} changes, ${unseen} not seen by check(), ${faults.length} faults, seed ${seed}`,
    );
    for (const fault of faults) console.error(fault);
    if (faults.length !== 0) process.exit(1);
  }
}

/** Episodes of hostile callers (test/hostile), in every build. Each class in turn is the one that is called most. */
async function runHostile(calls: number, seed: number): Promise<void> {
  const started = Date.now();
  const names = [...HOSTILE.keys()];
  let done = 0;
  for (let number = 0; done < calls; number++) {
    const build = ALL_BUILDS[number % ALL_BUILDS.length] as Build;
    const episode = drawEpisode(
      HOSTILE,
      build,
      seed + number,
      names[Math.floor(number / ALL_BUILDS.length) % names.length],
      200,
    );
    const result = await playEpisode(HOSTILE, episode);
    if ('fault' in result) {
      console.error((await reportEpisode(HOSTILE, episode, result.fault, SHRINK_MS)).message);
      process.exit(1);
    }
    done += result.calls;
    if (number % 500 === 499) console.log(`hostile: ${done} calls, ${Math.round((Date.now() - started) / 1000)} s`);
  }
  console.log(`hostile: ${done} calls, seed ${seed}, ${Math.round((Date.now() - started) / 1000)} s: no fault`);
}

const [name = 'all', operations = '10000000', seed = String(Date.now() % 1_000_000)] = process.argv.slice(2);
const chosen = modelled.filter(({ title }) => name === 'all' || title.startsWith(name));
const fronts = frontRows(name);
if (
  (chosen.length + fronts.length === 0 && name !== 'ramzswap' && name !== 'mutation' && name !== 'hostile') ||
  !(Number(operations) > 0) ||
  !Number.isInteger(Number(seed))
) {
  console.error(
    `usage: tsx test/random/long.ts [allocator|swap|ramzswap|hostile|mutation|all] [operations] [seed]; allocators: ${allocators.map(({ title }) => title).join('; ')}`,
  );
  process.exit(2);
}
if (name === 'mutation') await runMutation(Math.min(Number(operations), 20), Number(seed));
if (name === 'hostile' || name === 'all') await runHostile(Math.min(1_000_000, Number(operations)), Number(seed));
if (name === 'ramzswap') await runRamzswap(Number(operations), Number(seed));
for (const row of chosen) {
  await traces(row);
  await run(row, Number(operations), Number(seed));
}
for (const row of fronts) {
  if (!(await runFront(row, Number(operations) / 100, Number(seed)))) process.exit(1);
}
