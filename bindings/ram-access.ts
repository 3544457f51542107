/** Functions of a RAM that only this package may call. ram.ts makes the object. The package does not export it. */
import type { AllocatorName } from './allocators.ts';
import type { FrontIn, FrontKind } from './fronts.ts';
import type { ZpoolOptions } from './types.ts';
import type { Core } from './wasm.ts';
import type { Zpool } from './zpool.ts';

/** A front end that has frames of a RAM. Not exported from the package. */
export interface FrontEnd {
  readonly name: string;
  /** Frames of the front end itself, without those of its pools. */
  ownFrames(): number;
  /** True while work is under way that an image cannot hold. */
  isBusy(): boolean;
}

/** Functions of a RAM that the front ends of this package may call, and callers may not. @internal */
export interface RamAccess<Ram> {
  is(value: unknown): value is Ram;
  /** The instance of the core. @throws ECLOSED */
  core(op: string, ram: Ram): Core;
  /** @throws EBUSY inside an evict callback */
  requireIdle(op: string, ram: Ram): void;
  /** Tells the RAM that a front end was made (`present`) or is gone. */
  noteFront(ram: Ram, front: FrontEnd, present: boolean): void;
  /** A free name for a pool or front end: 'kind#n', where n starts after the number of pools in the RAM. */
  freshName(op: string, ram: Ram, kind: string): string;
  /** isClosed, close and check. They work even if the caller has changed properties of the object. */
  isClosed(ram: Ram): boolean;
  close(ram: Ram): void;
  check(ram: Ram): void;
  /** Makes a pool that belongs to a front end. @throws as ram.zpool */
  makeFrontPool(op: string, ram: Ram, allocator: AllocatorName, options: ZpoolOptions): Zpool;
  /**
   * A front end of a restored RAM that was not opened yet. @throws ENOENT; EINVAL for another kind; EBUSY when it is
   * open
   */
  unopened(op: string, ram: Ram, name: unknown, kind: FrontKind): FrontIn;
  /** Tells the RAM that the front end is open now. noteFront is called next. */
  opened(ram: Ram, front: FrontIn): void;
  /** The pool object for a pool's address in this RAM. */
  poolAt(ram: Ram, address: number): Zpool;
}
