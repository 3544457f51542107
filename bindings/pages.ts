/** PageTable as callers know it: that of a {@link Zpool}. Its file knows no pool, so that neither needs the other. */
import { PageTableOf } from './page-table.ts';
import type { Zpool } from './zpool.ts';

export type { PageTableKeys } from './page-table.ts';

/** The class, for `instanceof`. Made by {@link Zpool.pageTable}. */
export const PageTable: typeof PageTableOf<Zpool> = PageTableOf;
export type PageTable = PageTableOf<Zpool>;
