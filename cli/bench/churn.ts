/** A pool in a steady state: each step frees one object at random and allocates another. */
import type { Handle, Zpool } from '../../bindings/index.ts';
import { createDraw, sizeOf } from './draw.ts';

export class Churn {
  readonly #pool: Zpool;
  readonly #draw: () => number;
  readonly #objects: Handle[];

  /** Allocates `live` objects. */
  constructor(pool: Zpool, seed: number, live: number) {
    this.#pool = pool;
    this.#draw = createDraw(seed);
    this.#objects = Array.from({ length: live }, () => pool.malloc(sizeOf(this.#draw)));
  }

  /** Frees objects at random and allocates new ones instead. */
  run(steps: number): void {
    for (let step = 0; step < steps; step++) {
      const nth = this.#draw() % this.#objects.length;
      this.#pool.free(this.#objects[nth] as Handle);
      this.#objects[nth] = this.#pool.malloc(sizeOf(this.#draw));
    }
  }
}
