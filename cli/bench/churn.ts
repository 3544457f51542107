/** A pool in a steady state: so many live objects, one of which is freed and replaced at each step. */
import type { Handle, Zpool } from '../../bindings/index.ts';
import { createDraw, sizeOf } from './draw.ts';

export class Churn {
  readonly #pool: Zpool;
  readonly #draw: () => number;
  readonly #objects: Handle[];

  /** Allocates the objects. */
  constructor(pool: Zpool, seed: number, live: number) {
    this.#pool = pool;
    this.#draw = createDraw(seed);
    this.#objects = Array.from({ length: live }, () => pool.malloc(sizeOf(this.#draw)));
  }

  /** Frees objects at random and allocates others in their place. */
  run(steps: number): void {
    for (let step = 0; step < steps; step++) {
      const nth = this.#draw() % this.#objects.length;
      this.#pool.free(this.#objects[nth] as Handle);
      this.#objects[nth] = this.#pool.malloc(sizeOf(this.#draw));
    }
  }
}
