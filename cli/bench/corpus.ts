/** Pages of a file, or of all files in a folder, sampled at equal distances. */
import { closeSync, openSync, readSync, readdirSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { PAGE_SIZE } from '../../bindings/index.ts';
import { InputError, unreadable } from '../pages.ts';
import type { Corpus } from './types.ts';

const PAGES_MAX = 4096;

/**
 * @param path a file; or a folder, whose files are taken one after the other, with only their whole pages
 * @throws InputError when the path cannot be read or has no whole page
 */
export function readCorpus(path: string, most = PAGES_MAX): Corpus {
  try {
    const pages = samplePages(filesOf(path), most);
    if (pages.length === 0) throw new InputError(`${path} has no whole page of ${PAGE_SIZE} bytes`);
    return { name: basename(path), pages };
  } catch (error) {
    throw error instanceof InputError ? error : unreadable(path === '' ? "''" : path, error);
  }
}

interface File {
  path: string;
  pages: number;
}

function filesOf(path: string): File[] {
  const found = statSync(path);
  // Pages are sampled from the whole file, so its size must be known.
  if (!found.isFile() && !found.isDirectory())
    throw new InputError(`${path} is neither a file nor a folder: --corpus takes no device and no pipe`);
  if (found.isFile()) return [{ path, pages: Math.floor(found.size / PAGE_SIZE) }];
  return readdirSync(path, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort()
    .map((file) => ({ path: file, pages: Math.floor(statSync(file).size / PAGE_SIZE) }));
}

function samplePages(files: readonly File[], most: number): Buffer[] {
  const total = files.reduce((sum, { pages }) => sum + pages, 0);
  const count = Math.min(total, most);
  const wanted = Array.from({ length: count }, (_, nth) => Math.floor((nth * total) / count));
  const sampled: Buffer[] = [];
  let first = 0;
  for (const { path, pages } of files) {
    const here = wanted.filter((page) => page >= first && page < first + pages).map((page) => page - first);
    if (here.length !== 0) sampled.push(...readPages(path, here));
    first += pages;
  }
  return sampled;
}

function readPages(path: string, numbers: readonly number[]): Buffer[] {
  const file = openSync(path, 'r');
  try {
    return numbers.map((number) => {
      const page = Buffer.alloc(PAGE_SIZE);
      readSync(file, page, 0, PAGE_SIZE, number * PAGE_SIZE);
      return page;
    });
  } finally {
    closeSync(file);
  }
}
