/** The inner side of a RAM: an object of functions that ram.ts makes, and that is not exported from the package. */
import type { AllocatorName } from './allocators.ts';
import type { FrontIn, FrontKind } from './fronts.ts';
import type { ZpoolOptions } from './types.ts';
import type { Core } from './wasm.ts';
import type { Zpool } from './zpool.ts';

/** A front end that has frames of a RAM. Not exported from the package. */
export interface FrontEnd {
  readonly name: string;
  /** Its own frames, those of its pools aside. */
  ownFrames(): number;
  /** Whether it has work under way that no image can hold. */
  isBusy(): boolean;
}

/** What the front ends of this package may do with a RAM and callers may not. @internal */
export interface RamAccess<Ram> {
  is(value: unknown): value is Ram;
  /** The instance of the core. @throws ECLOSED */
  core(op: string, ram: Ram): Core;
  /** @throws EBUSY inside an evict callback */
  requireIdle(op: string, ram: Ram): void;
  /** Notes that a front end has come or gone. */
  noteFront(ram: Ram, front: FrontEnd, present: boolean): void;
  /** A name for a pool or front end that is not taken: 'kind#n', n counting those of this RAM. */
  freshName(op: string, ram: Ram, kind: string): string;
  /** isClosed, close and check, whatever properties a caller has given the object. */
  isClosed(ram: Ram): boolean;
  close(ram: Ram): void;
  check(ram: Ram): void;
  /** A pool that belongs to a front end. @throws as ram.zpool */
  heldPool(op: string, ram: Ram, allocator: AllocatorName, options: ZpoolOptions): Zpool;
  /** A front end of a restored RAM that nobody has opened. @throws ENOENT; EINVAL for another kind; EBUSY when it is open */
  unopened(op: string, ram: Ram, name: unknown, kind: FrontKind): FrontIn;
  /** It is open from now on: noteFront is told of it next. */
  opened(ram: Ram, front: FrontIn): void;
  /** The pool object of an address in this RAM. */
  poolAt(ram: Ram, address: number): Zpool;
}
