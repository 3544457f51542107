/**
 * Assertions of the checked build.
 *
 * `invariant(x)` traps in `core-checked.wasm` when x is false. The release builds
 * contain neither the call nor its operand (asc's --noAssert alone would still
 * evaluate the operand). It tests the core's own logic, never an argument of a
 * caller: a wrong argument gets an errno in every build.
 */

/* @inline */ export function invariant(holds: bool): void {
  if (!ASC_NO_ASSERT) {
    if (!holds) unreachable();
  }
}
