/** The layer rules: imports point one way, and Node's modules are imported only where this is allowed. */
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

/** Imports and re-exports of values. Types have no cost at run time and may point anywhere. */
function importsOf(file: string): Import[] {
  const text = readFileSync(join(ROOT, file), 'utf8');
  const found = text.matchAll(/^\s*(?:import|export)\s+(?!type\b)[^;]*?from\s+'([^']+)'|import\('([^']+)'\)(?!\.)/gms);
  return [...found].map((match) => ({ from: file, to: (match[1] ?? match[2]) as string }));
}

/** The same, with imports of types. */
function allImportsOf(file: string): Import[] {
  const text = readFileSync(join(ROOT, file), 'utf8');
  return [...text.matchAll(/^\s*(?:import|export)\s[^;]*?from\s+'([^']+)'/gms)].map((match) => ({
    from: file,
    to: match[1] as string,
  }));
}

/** Files in an import circle. */
function inCircles(imports: readonly Import[]): string[] {
  const bare = imports.map((found) => ({ from: found.from.replace(/\.ts$/, ''), to: target(found) }));
  const reached = (from: string, seen = new Set<string>()): Set<string> => {
    for (const found of bare) if (found.from === from && !seen.has(found.to)) reached(found.to, seen.add(found.to));
    return seen;
  };
  return [...new Set(bare.map(({ from }) => from))].filter((file) => reached(file).has(file));
}

function target({ from, to }: Import): string {
  return to.startsWith('.') ? normalize(join(dirname(from), to)).replace(/\.ts$/, '') : to;
}

/**
 * Layers from the bottom; a file may import from its own layer and those below. Of the core, the bindings read abi.ts
 * and the kinds of allocators.
 */
const CORE = [
  /^assembly\/(abi$|base\/)/,
  /^assembly\/mem\//,
  /^assembly\/(alloc|codec)\//,
  /^assembly\/generated\/dispatch$/,
  /^assembly\/zpool$/,
  /^assembly\/page\//,
  /^assembly\/(front|cache)\//,
  /^assembly\/inspect$/,
  /^assembly\/index$/,
];
const BINDINGS = [
  /^assembly\/(abi|alloc\/index)$/,
  /^bindings\/(errors|allocators|bytes|nested|promises|steps|plain-types|sizes|rules|dispose|base64|generated\/.*)$/,
  /^bindings\/(wasm|scalar|checked)$/,
  /^bindings\/(builds|image|ram-options|codec\/.*)$/,
  /^bindings\/(zpool(-\w+)?|same-filled|page-table|pages|types|fronts)$/,
  /^bindings\/ram(-\w+)?$/,
  /^bindings\/(front|cache|backing|adapters)\//,
  /^bindings\/index$/,
];

function layer(layers: RegExp[], file: string): number {
  return layers.findIndex((pattern) => pattern.test(file.replace(/\.ts$/, '')));
}

function wrong(layers: RegExp[], found: Import): boolean {
  const to = layer(layers, target(found));
  return to === -1 || to > layer(layers, found.from);
}

describe('imports', () => {
  test('of the core go to lower layers only', () => {
    const files = sources('assembly');
    expect(files.length).toBeGreaterThan(15);
    for (const file of files) expect(layer(CORE, file), `${file} is in no layer`).toBeGreaterThanOrEqual(0);
    expect(files.flatMap(importsOf).filter((found) => wrong(CORE, found))).toEqual([]);
  });

  test('no allocator imports another', () => {
    const name = (path: string): string =>
      relative('assembly/alloc', path).replace(/\.ts$/, '').split('-')[0] as string;
    const between = sources('assembly/alloc')
      .flatMap(importsOf)
      .filter((found) => target(found).startsWith('assembly/alloc/') && name(target(found)) !== name(found.from));
    expect(between).toEqual([]);
  });

  test('only page/table.ts and its parts import the two shapes of a page table', () => {
    const table = /^assembly\/page\/(dense|sparse|table(-check|-layout)?)\.ts$/;
    const all = sources('assembly').flatMap(importsOf);
    const inner = all.filter((found) => /^assembly\/page\/(dense|sparse|table-layout)$/.test(target(found)));
    expect(inner.length).toBeGreaterThan(5);
    expect(inner.filter(({ from }) => !table.test(from))).toEqual([]);
    // From below: table-layout, which both shapes use, then the shapes, which do not import each other.
    const order = [/\/table-layout$/, /\/(dense|sparse)$/, /\/table$/, /\/table-check$/];
    const within = all.filter((found) => table.test(found.from) && table.test(`${target(found)}.ts`));
    expect(within.filter((found) => layer(order, target(found)) >= layer(order, found.from))).toEqual([]);
  });

  test('no part of an allocator imports its main file', () => {
    const wholes = sources('assembly/alloc')
      .filter((file) => !/-\w+\.ts$/.test(file))
      .map((file) => file.replace(/\.ts$/, ''));
    expect(wholes.length).toBeGreaterThanOrEqual(5);
    const up = sources('assembly/alloc')
      .flatMap(importsOf)
      .filter((found) => /-\w+\.ts$/.test(found.from) && wholes.includes(target(found)));
    expect(up).toEqual([]);
  });

  test('of the bindings go to lower layers only; only backing/file.ts and its lock import Node, and only wasm.ts the loader', () => {
    const files = sources('bindings');
    for (const file of files) expect(layer(BINDINGS, file), `${file} is in no layer`).toBeGreaterThanOrEqual(0);
    const all = files.flatMap(importsOf);
    expect(all.filter(({ to }) => to.startsWith('.')).filter((found) => wrong(BINDINGS, found))).toEqual([]);
    const packages = all.filter(({ to }) => !to.startsWith('.')).map(({ from, to }) => `${from} ${to}`);
    expect(packages.filter((row) => !/^bindings\/backing\/file(-lock)?\.ts /.test(row)).sort()).toEqual([
      'bindings/codec/fflate.ts fflate',
      'bindings/codec/lz4js.ts lz4js',
      'bindings/wasm.ts @assemblyscript/loader',
    ]);
  });

  test('of the front ends: both use front/common, neither imports the other, and there is no circle', () => {
    const all = sources('bindings/front')
      .flatMap(allImportsOf)
      .filter((found) => target(found).startsWith('bindings/front/'));
    expect(all.length).toBeGreaterThan(40);
    const folder = (path: string): string => /^bindings\/front\/(\w+)\//.exec(path)?.[1] ?? 'none';
    const known: Record<string, string[]> = {
      common: ['common'],
      zswap: ['common', 'zswap'],
      ramzswap: ['common', 'ramzswap'],
      none: ['common', 'zswap'],
    };
    expect(all.filter((found) => known[folder(found.from)]?.includes(folder(target(found))) !== true)).toEqual([]);
    expect(inCircles(all)).toEqual([]);
  });

  test('no file of the bindings and the command line has more than 500 lines', () => {
    const lines = ['bindings', 'cli']
      .flatMap(sources)
      .map((file) => [file, readFileSync(join(ROOT, file), 'utf8').split('\n').length - 1] as const);
    expect(lines.filter(([, count]) => count > 500)).toEqual([]);
  });

  test.each(['bindings', 'cli'])('in %s have no circle, also with types', (folder) => {
    const all = sources(folder)
      .flatMap(allImportsOf)
      .filter(({ to }) => to.startsWith('.'));
    expect(all.length).toBeGreaterThan(100);
    expect(inCircles(all)).toEqual([]);
  });

  test.each(['cli', 'bench'])('of %s use the public API only', (folder) => {
    const entries = Object.values(manifest.exports).flatMap((entry) =>
      typeof entry === 'string' ? [] : [entry.default.replace(/^\.\/dist\/|\.js$/g, '')],
    );
    expect(entries).toContain('bindings/index');
    const inner = sources(folder)
      .flatMap(importsOf)
      .map(target)
      .filter((to) => to.startsWith('bindings/') && !entries.includes(to));
    expect(inner).toEqual([]);
  });

  test('of the command line stay within the published files', () => {
    const outside = sources('cli')
      .flatMap(importsOf)
      .filter(({ to }) => to.startsWith('.'))
      .map(target)
      .filter((to) => !/^(cli|bindings)\//.test(to));
    expect(outside).toEqual([]);
  });

  test('of the core have each name once: its compiler accepts a second one silently', () => {
    const twice = sources('assembly').flatMap((file) => {
      const lists = [...readFileSync(join(ROOT, file), 'utf8').matchAll(/import \{([^}]*)\} from/g)].map(
        ([, names]) => names as string,
      );
      const names = lists
        .join(',')
        .split(',')
        .map((name) => name.trim().split(' as ').at(-1) as string)
        .filter((name) => name !== '');
      return names.filter((name, nth) => names.indexOf(name) !== nth).map((name) => `${file}: ${name}`);
    });
    expect(twice).toEqual([]);
  });

  test('the test notices a wrong import', () => {
    expect(wrong(CORE, { from: 'assembly/mem/frame.ts', to: '../alloc/zbud' })).toBe(true);
    expect(wrong(CORE, { from: 'assembly/page/path.ts', to: '../zpool' })).toBe(false);
    expect(wrong(BINDINGS, { from: 'bindings/wasm.ts', to: './ram.ts' })).toBe(true);
    expect(
      inCircles([
        { from: 'a/b.ts', to: './c.ts' },
        { from: 'a/c.ts', to: '../a/b.ts' },
        { from: 'a/d.ts', to: './b.ts' },
      ]),
    ).toEqual(['a/b', 'a/c']);
  });
});
