/** The house: imports point one way, and Node's modules are imported only where they may be. */
import { readFileSync, readdirSync } from 'node:fs';
import { dirname, join, normalize, relative } from 'node:path';
import { describe, expect, test } from 'vitest';
import manifest from '../../package.json' with { type: 'json' };

const ROOT = join(import.meta.dirname, '../..');

function sources(folder: string): string[] {
  return readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts') && !name.endsWith('.d.ts') && !/generated|node_modules/.test(name))
    .map((name) => join(folder, name));
}

interface Import {
  from: string;
  to: string;
}

const OF_VALUES = /^\s*(?:import|export)\s+(?!type\b)[^;]*?from\s+'([^']+)'|import\('([^']+)'\)(?!\.)/gms;
const OF_TYPES_TOO = /^\s*(?:import|export)\s[^;]*?from\s+'([^']+)'|import\('([^']+)'\)/gms;

/** Imports and re-exports of values; types cost nothing at run time and may point anywhere. */
function importsOf(file: string): Import[] {
  return matchesOf(file, OF_VALUES);
}

function matchesOf(file: string, pattern: RegExp): Import[] {
  const text = readFileSync(join(ROOT, file), 'utf8');
  return [...text.matchAll(pattern)].map((match) => ({ from: file, to: (match[1] ?? match[2]) as string }));
}

/** The first circle of files, each of which imports the next. */
function circle(imports: Import[]): string[] | undefined {
  const next = new Map<string, string[]>();
  for (const found of imports) {
    const from = found.from.replace(/\.ts$/, '');
    next.set(from, [...(next.get(from) ?? []), target(found)]);
  }
  const done = new Set<string>();
  const walk = (file: string, path: string[]): string[] | undefined => {
    if (path.includes(file)) return [...path.slice(path.indexOf(file)), file];
    if (done.has(file)) return undefined;
    for (const to of next.get(file) ?? []) {
      const found = walk(to, [...path, file]);
      if (found !== undefined) return found;
    }
    done.add(file);
    return undefined;
  };
  for (const file of next.keys()) {
    const found = walk(file, []);
    if (found !== undefined) return found;
  }
  return undefined;
}

function target({ from, to }: Import): string {
  return to.startsWith('.') ? normalize(join(dirname(from), to)).replace(/\.ts$/, '') : to;
}

/** Layers from the bottom; a file may import from its own and those below. Of the core the bindings read abi.ts and the kinds of allocators. */
const CORE = [/^assembly\/(abi$|base\/)/, /^assembly\/mem\//, /^assembly\/(alloc|codec)\//, /^assembly\/generated\/dispatch$/, /^assembly\/zpool$/, /^assembly\/page\//, /^assembly\/(front|cache)\//, /^assembly\/inspect$/, /^assembly\/index$/];
const BINDINGS = [
  /^assembly\/(abi|alloc\/index)$/, /^bindings\/(errors|allocators|bytes|nested|promises|steps|types|sizes|rules|dispose|base64|generated\/.*)$/, /^bindings\/(wasm|scalar|checked)$/, /^bindings\/(builds|image|codec\/.*)$/,
  /^bindings\/(zpool|page-table)$/, /^bindings\/ram$/, /^bindings\/(front|cache|backing|adapters)\//, /^bindings\/index$/,
];

function layer(layers: RegExp[], file: string): number {
  return layers.findIndex((pattern) => pattern.test(file.replace(/\.ts$/, '')));
}

function wrong(layers: RegExp[], found: Import): boolean {
  const to = layer(layers, target(found));
  return to === -1 || to > layer(layers, found.from);
}

describe('imports', () => {
  test('of the core point one way', () => {
    const files = sources('assembly');
    expect(files.length).toBeGreaterThan(15);
    for (const file of files) expect(layer(CORE, file), `${file} is in no layer`).toBeGreaterThanOrEqual(0);
    expect(files.flatMap(importsOf).filter((found) => wrong(CORE, found))).toEqual([]);
  });

  test('no allocator imports another', () => {
    const name = (path: string): string => relative('assembly/alloc', path).replace(/\.ts$/, '').split('-')[0] as string;
    const between = sources('assembly/alloc').flatMap(importsOf).filter((found) => target(found).startsWith('assembly/alloc/') && name(target(found)) !== name(found.from));
    expect(between).toEqual([]);
  });

  test('the shapes of a page table are known to the table alone', () => {
    const table = /^assembly\/page\/(dense|sparse|table(-check|-layout)?)\.ts$/;
    const all = sources('assembly').flatMap(importsOf);
    const inner = all.filter((found) => /^assembly\/page\/(dense|sparse|table-layout)$/.test(target(found)));
    expect(inner.length).toBeGreaterThan(5);
    expect(inner.filter(({ from }) => !table.test(from))).toEqual([]);
    // Below it: what both shapes share, then the shapes, neither of which knows the other.
    const order = [/\/table-layout$/, /\/(dense|sparse)$/, /\/table$/, /\/table-check$/];
    const within = all.filter((found) => table.test(found.from) && table.test(`${target(found)}.ts`));
    expect(within.filter((found) => layer(order, target(found)) >= layer(order, found.from))).toEqual([]);
  });

  test('no part of an allocator imports the file of the whole', () => {
    const wholes = sources('assembly/alloc').filter((file) => !/-\w+\.ts$/.test(file)).map((file) => file.replace(/\.ts$/, ''));
    expect(wholes.length).toBeGreaterThanOrEqual(5);
    const up = sources('assembly/alloc').flatMap(importsOf).filter((found) => /-\w+\.ts$/.test(found.from) && wholes.includes(target(found)));
    expect(up).toEqual([]);
  });

  test('of the bindings point one way; only backing/file.ts and its lock may import Node, and none but wasm.ts the loader', () => {
    const files = sources('bindings');
    for (const file of files) expect(layer(BINDINGS, file), `${file} is in no layer`).toBeGreaterThanOrEqual(0);
    const all = files.flatMap(importsOf);
    expect(all.filter(({ to }) => to.startsWith('.')).filter((found) => wrong(BINDINGS, found))).toEqual([]);
    const packages = all.filter(({ to }) => !to.startsWith('.')).map(({ from, to }) => `${from} ${to}`);
    expect(packages.filter((row) => !/^bindings\/backing\/file(-lock)?\.ts /.test(row)).sort()).toEqual([
      'bindings/codec/fflate.ts fflate', 'bindings/codec/lz4js.ts lz4js', 'bindings/wasm.ts @assemblyscript/loader',
    ]);
  });

  test('of the front ends, types too: neither knows the other, what both share knows none, and there is no circle', () => {
    const all = sources('bindings/front').flatMap((file) => matchesOf(file, OF_TYPES_TOO));
    const room = (path: string): string | undefined => /^bindings\/front\/(\w+)\//.exec(path)?.[1];
    const inner = all.filter((found) => target(found).startsWith('bindings/front/'));
    expect(inner.length).toBeGreaterThan(30);
    const rooms = inner.filter(({ from }) => room(from) !== undefined);
    expect(rooms.filter((found) => room(target(found)) !== room(found.from) && room(target(found)) !== 'common')).toEqual([]);
    expect(circle(inner)).toBeUndefined();
  });

  test.each(['cli', 'bench'])('of %s use the public API only', (folder) => {
    const entries = Object.values(manifest.exports).flatMap((entry) => (typeof entry === 'string' ? [] : [entry.default.replace(/^\.\/dist\/|\.js$/g, '')]));
    expect(entries).toContain('bindings/index');
    const inner = sources(folder).flatMap(importsOf).map(target).filter((to) => to.startsWith('bindings/') && !entries.includes(to));
    expect(inner).toEqual([]);
  });

  test('of the command line stay in what is shipped', () => {
    const outside = sources('cli').flatMap(importsOf).filter(({ to }) => to.startsWith('.')).map(target).filter((to) => !/^(cli|bindings)\//.test(to));
    expect(outside).toEqual([]);
  });

  test('a wrong import is noticed', () => {
    expect(wrong(CORE, { from: 'assembly/mem/frame.ts', to: '../alloc/zbud' })).toBe(true);
    expect(wrong(CORE, { from: 'assembly/page/path.ts', to: '../zpool' })).toBe(false);
    expect(wrong(BINDINGS, { from: 'bindings/wasm.ts', to: './ram.ts' })).toBe(true);
    expect(circle([{ from: 'a/b.ts', to: './c.ts' }, { from: 'a/c.ts', to: '../d.ts' }])).toBeUndefined();
    expect(circle([{ from: 'a/b.ts', to: './c.ts' }, { from: 'a/c.ts', to: './d.ts' }, { from: 'a/d.ts', to: './c.ts' }])).toEqual(['a/c', 'a/d', 'a/c']);
  });
});
