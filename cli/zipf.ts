/** Numbers by Zipf's law: a few of them come most of the time. */

/**
 * @param total the numbers are 0 … total - 1; the popular ones are at random places among them
 * @param length how many numbers to draw
 * @param draw gives 24 random bits at each call
 * @param exponent 0: all numbers are equally likely
 */
export function zipf(total: number, length: number, draw: () => number, exponent = 0.99): Uint32Array {
  const cumulated = new Float64Array(total);
  let sum = 0;
  for (let rank = 0; rank < total; rank++) cumulated[rank] = sum += 1 / (rank + 1) ** exponent;
  const places = scattered(total, draw);
  return Uint32Array.from({ length }, () => places[rankOf(cumulated, (draw() / 2 ** 24) * sum)] as number);
}

/** The first rank whose cumulated weight is greater than a value. */
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

/** The numbers 0 … total - 1 in random order. */
function scattered(total: number, draw: () => number): Uint32Array {
  const places = Uint32Array.from({ length: total }, (_, place) => place);
  for (let last = total - 1; last > 0; last--) {
    const other = draw() % (last + 1);
    [places[last], places[other]] = [places[other] as number, places[last] as number];
  }
  return places;
}
