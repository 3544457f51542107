/** The subject of a test of the conformance suite: one allocator in one build. */
import type { Ram, RamOptions, Zpool, ZpoolOptions } from '../../../bindings/index.ts';
import { createPool, createRam } from '../../harness.ts';
import type { AllocatorRow, Build } from '../../harness.ts';

export class Subject {
  readonly row: AllocatorRow;
  readonly build: Build;

  constructor(row: AllocatorRow, build: Build) {
    this.row = row;
    this.build = build;
  }

  ram(options?: RamOptions): Promise<Ram> {
    return createRam(this.build, options);
  }

  pool(ram: Ram, options?: ZpoolOptions): Zpool {
    return createPool(ram, this.row, options);
  }

  /** A RAM with one pool in it. */
  async fresh(ramOptions?: RamOptions, poolOptions?: ZpoolOptions): Promise<{ ram: Ram; pool: Zpool }> {
    const ram = await this.ram(ramOptions);
    return { ram, pool: this.pool(ram, poolOptions) };
  }
}
