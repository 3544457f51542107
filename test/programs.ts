/**
 * The programs that tests start as processes, compiled once for a run: vitest calls `setup` before the first test in
 * Node. Compiling them in each process took ten times as long as the work of the processes.
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';
import type { TestProject } from 'vitest/node';

declare module 'vitest' {
  interface ProvidedContext {
    /** The folder of the compiled programs. */
    programs: string;
  }
}

const ROOT = join(import.meta.dirname, '..');
const SOURCES = {
  compcache: 'cli/main.ts',
  'file-store': 'bindings/backing/file.ts',
  'file-child': 'test/backing/file-child.ts',
  'serve-child': 'test/nbd/serve-child.ts',
};

export type Program = keyof typeof SOURCES;

export async function setup(project: TestProject): Promise<() => void> {
  // Inside the project, where the programs find packages and package.json.
  mkdirSync(join(ROOT, 'build'), { recursive: true });
  const folder = mkdtempSync(join(ROOT, 'build/programs-'));
  await build({
    entryPoints: SOURCES,
    absWorkingDir: ROOT,
    outdir: folder,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    splitting: true,
    sourcemap: true,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    packages: 'external',
    logLevel: 'warning',
  });
  project.provide('programs', folder);
  return () => rmSync(folder, { recursive: true, force: true });
}
