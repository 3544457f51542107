/** Measuring: rounds of all contenders interleaved, medians, ratios to the first. */

export interface Contender {
  name: string;
  /** One round; returns nanoseconds per operation. */
  round(): number;
}

export interface Row {
  name: string;
  median: number;
  min: number;
  max: number;
  /** median / median of the first row. */
  ratio: number;
}

function median(values: number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? (sorted[middle] as number) : ((sorted[middle - 1] as number) + (sorted[middle] as number)) / 2;
}

/** Runs each contender once to warm up, then `rounds` rounds in turn. */
export function compare(contenders: Contender[], rounds: number): Row[] {
  contenders.forEach((contender) => contender.round());
  const times = contenders.map((): number[] => []);
  for (let round = 0; round < rounds; round++) contenders.forEach((contender, i) => times[i]?.push(contender.round()));
  const base = median(times[0] as number[]);
  return contenders.map(({ name }, i) => {
    const values = times[i] as number[];
    return { name, median: median(values), min: Math.min(...values), max: Math.max(...values), ratio: median(values) / base };
  });
}

/** Nanoseconds per operation of a loop. */
export function time(operations: number, loop: () => void): number {
  const start = performance.now();
  loop();
  return ((performance.now() - start) * 1e6) / operations;
}
