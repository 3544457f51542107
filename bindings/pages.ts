/**
 * PageTable as callers use it: the table of a {@link Zpool}. page-table.ts does not import the pool, to avoid an import
 * circle.
 */
import { PageTableOf } from './page-table.ts';
import type { Zpool } from './zpool.ts';

export type { PageTableKeys } from './page-table.ts';

/** The class, for `instanceof`. Use {@link Zpool.pageTable} to make one. */
export const PageTable: typeof PageTableOf<Zpool> = PageTableOf;
export type PageTable = PageTableOf<Zpool>;
