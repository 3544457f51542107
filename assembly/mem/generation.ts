/**
 * Generations: counters that make old handles stale.
 *
 * Every frame entry has two counters of 16 bits, genA and genB. They keep their
 * values when the frame gets another owner. An owner only increments them, so all
 * owners can share them. A handle contains the low bits of one counter, as many as
 * it has room for. So a handle is refused from the free of its object on, until
 * the counter wraps around to the same bits, 2^bits increments later.
 *
 * A generation of all ones is skipped. That keeps every handle below the error
 * numbers, whatever its other bits are.
 */

/* @inline */ export function generationMask(bits: u32): u32 {
  return (1 << bits) - 1;
}

/** The counter, incremented if its generation is all ones: handles never have that generation. */
export function settled(counter: u32, mask: u32): u32 {
  return (counter & mask) == mask ? (counter + 1) & 0xffff : counter;
}

/** The counter of the next generation. */
/* @inline */ export function advanced(counter: u32, mask: u32): u32 {
  return settled((counter + 1) & 0xffff, mask);
}
