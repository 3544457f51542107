/** Ramzswap on files: extents with gaps between them, single slots and runs of slots, both modes. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { FileStore } from '../../bindings/backing/file.ts';
import { PAGE_SIZE, Ramzswap } from '../../bindings/index.ts';
import { expectBytes } from '../harness.ts';
import { pageOf, rawPage } from '../front/pages.ts';

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'ramzswap-'));
});
afterAll(() => {
  rmSync(directory, { recursive: true, force: true });
});

test.each(['sync', 'async'] as const)('pages are written to regions of files and read again, mode %s', async (mode) => {
  const path = join(directory, mode);
  const other = join(directory, `${mode}-other`);
  const marks = new Uint8Array(2 ** 20).fill(0x5a);
  writeFileSync(path, marks);
  writeFileSync(other, marks);
  // Room for one slot, for a run, and for one slot again, with foreign bytes between them.
  const files = [
    { path, offset: 8192, length: 16_384 },
    { path, offset: 65_536, length: 262_144 },
    { path: other, offset: 4096, length: 20_480 },
  ];
  const store = await FileStore.open({ files, mode, existing: 'overwrite' });
  const device = await Ramzswap.create({ disksize: '2MiB', bytes: '4MiB', backing: store, recompCodecs: ['lz4hc'] });
  const pages = new Map<number, Uint8Array>();
  const write = async (index: number, page: Uint8Array): Promise<void> => {
    await device.writePageAsync(index, page);
    pages.set(index, page);
  };
  for (let n = 0; n < 40; n++) await write(n * 3, n % 2 === 0 ? rawPage(n) : pageOf(n));
  device.markIdle();
  await device.writebackAsync('idle');
  expect(device.bdStat().bdCount).toBe(40);
  for (let n = 0; n < 40; n += 4) await write(n * 3, rawPage(100 + n));
  device.memlimit = 1; // pages that the store does not take are refused
  let codes = 0;
  for (let n = 200; n < 400; n++)
    await write(n, rawPage(n)).catch((error: { code: string }) => {
      codes += error.code === 'ENOSPC' ? 1 : 1000;
    });
  expect(codes).toBeGreaterThan(0);
  expect(codes).toBeLessThan(200);
  device.check();
  const into = new Uint8Array(PAGE_SIZE);
  for (const [index, page] of pages) {
    await device.readPageAsync(index, into);
    expectBytes(into, page, `page ${index}`);
  }
  await device.flush();
  for (const [file, regions] of [
    [path, files.slice(0, 2)],
    [other, files.slice(2)],
  ] as const) {
    const now = readFileSync(file);
    for (const { offset, length } of regions) now.fill(0x5a, offset, offset + length);
    expect(now.equals(marks)).toBe(true);
  }
  await device.resetAsync();
  device.init({ disksize: '1MiB' });
  await device.writePageAsync(0, rawPage(1));
  await device.readPageAsync(0, into);
  expectBytes(into, rawPage(1));
  await device.close();
  await store.close();
});
