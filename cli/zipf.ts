/** Numbers by Zipf's law: a few are asked for most of the time. */

/**
 * @param total numbers 0 … total - 1; which of them are popular is scattered
 * @param length how many to draw
 * @param draw 24 random bits a call
 * @param exponent 0: all are asked for alike
 */
export function zipf(total: number, length: number, draw: () => number, exponent = 0.99): Uint32Array {
  const cumulated = new Float64Array(total);
  let sum = 0;
  for (let rank = 0; rank < total; rank++) cumulated[rank] = sum += 1 / (rank + 1) ** exponent;
  const places = scattered(total, draw);
  return Uint32Array.from({ length }, () => places[rankOf(cumulated, (draw() / 2 ** 24) * sum)] as number);
}

/** The first rank whose cumulated weight is above a value. */
function rankOf(cumulated: Float64Array, value: number): number {
  let low = 0;
  let high = cumulated.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((cumulated[middle] as number) > value) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** 0 … total - 1 in random order. */
function scattered(total: number, draw: () => number): Uint32Array {
  const places = Uint32Array.from({ length: total }, (_, place) => place);
  for (let last = total - 1; last > 0; last--) {
    const other = draw() % (last + 1);
    [places[last], places[other]] = [places[other] as number, places[last] as number];
  }
  return places;
}
