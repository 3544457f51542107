/** Measuring: runs the contenders of a table in rounds, and summarizes the rounds. */
import type { Contender, MeasuredTable, Row, Table } from './types.ts';

/** The median. For an even number of values, the mean of the two middle values. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return ((sorted[(sorted.length - 1) >> 1] as number) + (sorted[sorted.length >> 1] as number)) / 2;
}

/** Nanoseconds per operation of a loop with `operations` operations. */
export function time(operations: number, loop: () => void): number {
  const start = performance.now();
  loop();
  return ((performance.now() - start) * 1e6) / operations;
}

/**
 * Runs one round of each contender to warm up, then `rounds` rounds that count. Each round begins with another
 * contender, so no contender always follows the same one.
 */
export async function measure({ title, unit, contenders }: Table, rounds: number): Promise<MeasuredTable> {
  for (const contender of contenders) await contender.round();
  const values = contenders.map((): number[] => []);
  for (let round = 0; round < rounds; round++) {
    for (let turn = 0; turn < contenders.length; turn++) {
      const nth = (round + turn) % contenders.length;
      values[nth]?.push(await (contenders[nth] as Contender).round());
    }
  }
  const rows: Row[] = [];
  for (const [nth, { name, figures }] of contenders.entries()) {
    rows.push({
      ...summary(name, values[nth] as number[], values[0] as number[]),
      ...(figures && { figures: await figures() }),
    });
  }
  return { title, unit, rounds, rows };
}

/** The summary of one contender's rounds. */
export function summary(name: string, values: readonly number[], base: readonly number[]): Row {
  return {
    name,
    median: median(values),
    min: Math.min(...values),
    max: Math.max(...values),
    ratio: median(values.map((value, round) => value / (base[round] as number))),
  };
}
