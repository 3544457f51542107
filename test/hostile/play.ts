/** Episodes: lists of actions, run from the start; a list that fails is made shorter. */
import type { Build } from '../harness.ts';
import { Dice } from './dice.ts';
import { Fault, World, describe, type Entry } from './world.ts';

export type Classes = ReadonlyMap<string, readonly Entry[]>;

export interface Action {
  readonly call: string;
  readonly seed: number;
}

export interface Episode {
  readonly build: Build;
  readonly seed: number;
  readonly actions: readonly Action[];
}

/** An episode in which one class is called more often than the others. */
export function drawEpisode(
  classes: Classes,
  build: Build,
  seed: number,
  focus: string | undefined,
  length: number,
): Episode {
  const dice = new Dice(seed);
  const names = [...classes.keys()];
  const actions = Array.from({ length }, (): Action => {
    const entries = classes.get(focus !== undefined && !dice.once(4) ? focus : dice.of(names)) as readonly Entry[];
    let nth = dice.below(entries.reduce((sum, { weight }) => sum + weight, 0));
    return { call: (entries.find(({ weight }) => (nth -= weight) < 0) as Entry).name, seed: dice.word() };
  });
  return { build, seed, actions };
}

/** Unhandled rejections. A late one is found by the next episode. */
const rejections: unknown[] = [];
const { process } = globalThis as { process?: NodeJS.Process };
if (typeof process?.on === 'function') process.on('unhandledRejection', (reason) => rejections.push(reason));
else
  globalThis.addEventListener('unhandledrejection', (event) => (rejections.push(event.reason), event.preventDefault()));

export interface Result {
  calls: number;
  /** The error, when there was one. */
  fault?: unknown;
}

/** Runs an episode. */
export async function play(classes: Classes, { build, seed, actions }: Episode): Promise<Result> {
  const world = await World.create(build, classes, seed);
  let result: Result = { calls: 0 };
  try {
    for (const { call, seed } of actions) await world.step(world.entry(call), seed);
    await world.finish();
  } catch (fault) {
    result = { calls: 0, fault };
  }
  await new Promise((resolve) => setTimeout(resolve, 0)); // Node reports rejections after the microtasks
  const [rejection] = rejections.splice(0);
  result.calls = world.calls;
  if (result.fault === undefined && rejection !== undefined)
    result.fault = new Fault(`unhandled rejection: ${describe(rejection)}`, { cause: rejection });
  return result;
}

/** Leaves out smaller and smaller parts of the list while it still fails. */
export async function shrink(classes: Classes, episode: Episode, milliseconds: number): Promise<Episode> {
  const until = Date.now() + milliseconds;
  for (let part = episode.actions.length >> 1; part > 0; part >>= 1) {
    for (let from = 0; from < episode.actions.length && Date.now() < until;) {
      const fewer = { ...episode, actions: episode.actions.filter((_, at) => at < from || at >= from + part) };
      if ((await play(classes, fewer)).fault === undefined) from += part;
      else episode = fewer;
    }
  }
  return episode;
}

/** The report on an episode that failed: its seed, the shortened list of actions, and the error. */
export async function report(classes: Classes, episode: Episode, fault: unknown, milliseconds: number): Promise<Error> {
  const left = await shrink(classes, episode, milliseconds);
  const again = (await play(classes, left)).fault ?? fault;
  const { build, seed, actions } = left;
  // No cause: printing it would read properties that throw.
  return new Error(
    `${describe(fault)}\nbuild ${build}, seed ${seed}; ${actions.length} actions are left: ${JSON.stringify(actions)}\nwith them: ${stackOf(again)}`,
  );
}

/** The stack of an error, when it has one. */
function stackOf(fault: unknown): string {
  const cause = Fault.made(fault) ? (fault.cause ?? fault) : fault;
  try {
    return `${describe(fault)}\n${String((cause as Error).stack)}`;
  } catch {
    return describe(fault);
  }
}
