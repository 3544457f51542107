/**
 * Assertions of the checked build.
 *
 * `invariant(x)` traps in `core-checked.wasm` when x is false and is gone,
 * operand and all, from the release builds (asc's --noAssert alone would still
 * evaluate the operand). It guards the core's own logic, never a caller's
 * argument: those get an errno in every build.
 */

/* @inline */ export function invariant(holds: bool): void {
  if (!ASC_NO_ASSERT) {
    if (!holds) unreachable();
  }
}
