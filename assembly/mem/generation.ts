/**
 * Generations: what tells a handle from an earlier one of the same place.
 *
 * The entry of every frame has two counters of 16 bits, genA and genB, that
 * outlive its owners. Whoever owns the frame only ever moves them forward, so
 * that all owners can share them, and a handle shows the low bits of one: as
 * many as it has left. Hence a handle is refused from the moment its object is
 * freed until the counter has come round under it, 2^bits steps later.
 *
 * A generation of all ones is stepped over. That keeps every handle below the
 * error numbers, whatever its other bits.
 */

/* @inline */ export function generationMask(bits: u32): u32 {
  return (1 << bits) - 1;
}

/** The counter, moved on if it stands at a generation that handles do not have. */
export function settled(counter: u32, mask: u32): u32 {
  return (counter & mask) == mask ? (counter + 1) & 0xffff : counter;
}

/** The counter, one generation further. */
/* @inline */ export function advanced(counter: u32, mask: u32): u32 {
  return settled((counter + 1) & 0xffff, mask);
}
