/** The conformance suite: one contract for every allocator in every build. */
import { describe } from 'vitest';
import type { AllocatorRow, Build } from '../../harness.ts';
import { bytes } from './bytes.ts';
import { closing } from './closing.ts';
import { evict } from './evict.ts';
import { frames } from './frames.ts';
import { handles } from './handles.ts';
import { images } from './images.ts';
import { maps } from './maps.ts';
import { pages } from './pages.ts';
import { pool } from './pool.ts';
import { sizes } from './sizes.ts';
import { statistics } from './statistics.ts';
import { Subject } from './subject.ts';

const FEATURES: Record<string, (subject: Subject) => void> = {
  'a pool': pool,
  sizes: sizes,
  'write and read': bytes,
  maps: maps,
  handles: handles,
  frames: frames,
  evict: evict,
  images: images,
  'statistics and walk': statistics,
  pages: pages,
  closing: closing,
};

/** Declares the whole suite for one allocator in one build. */
export function conformance(row: AllocatorRow, build: Build): void {
  const subject = new Subject(row, build);
  describe(`${row.title}, ${build}`, () => {
    for (const [name, feature] of Object.entries(FEATURES)) describe(name, () => feature(subject));
  });
}
