/** Contents of slots. It needs no test runner, so that processes and workers can use it too. */

/** Random numbers below a limit: the same numbers for the same seed. */
export function dice(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

/** Bytes that differ from slot to slot and from version to version, with all byte values. */
export function content(slot: number, version: number, length: number): Uint8Array {
  const roll = dice(slot * 2654435761 + version * 40503 + 1);
  return Uint8Array.from({ length }, () => roll(256));
}
