/** Numbers that both the core and the bindings use are written once: in assembly/abi.ts. */
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import * as numbers from '../../assembly/abi.ts';

const ROOT = join(import.meta.dirname, '../..');
const ABI = 'assembly/abi.ts';

interface Source {
  file: string;
  text: string;
}

function sources(folder: string): Source[] {
  return readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts') && !name.endsWith('.d.ts') && !name.includes('generated'))
    .map((name) => join(folder, name))
    .filter((file) => file !== ABI)
    .map((file) => ({ file, text: codeOf(readFileSync(join(ROOT, file), 'utf8')) }));
}

/** A source without its comments. */
function codeOf(text: string): string {
  return text.replace(/\/\*.*?\*\//gs, '').replace(/(?<!:)\/\/.*/g, '');
}

const CONSTANT = /^\s*(?:export )?(?:const|let) ([A-Z][A-Z0-9_]*)\b(?:: [\w<>, ]+)? = (.*?);?[ \t]*$/gm;
/** An expression of numbers only. */
const NUMBER = /^[-~(]*(?:0x[\da-f_]+|\d[\d_.]*)(?:[-+*/%<>&|^~()\s]|0x[\da-f_]+|\d[\d_.]*)*(?: as (?:u32|const))?$/i;

function constantsOf(sources: readonly Source[]): { file: string; name: string; value: string }[] {
  return sources.flatMap(({ file, text }) =>
    [...text.matchAll(CONSTANT)].map(([, name, value]) => ({ file, name: name as string, value: value as string })),
  );
}

/** Numbers in the bindings that must have a name. */
const BARE = [
  {
    what: 'word or counter by its number',
    pattern:
      /\b(?:ramCounter|zpoolCounter|zpoolIdentity|zswapFigure|zswapCount|ramzFigure|counter|figure|count)\((?:[^()]*,)?\s*(?:0x)?\d+\s*\)/g,
  },
  { what: 'word of the result area by its number', pattern: /\bout\[\s*(?:0x)?\d+\s*\]/g },
  {
    what: 'offset into the memory',
    pattern:
      /\bnew \w+(?:Array|View)(?:<\w*>)?\([^;\n]*\bbuffer\b[^;\n]*[+]\s*(?:0x)?\d|\b\w*[aA]ddress\)?\s*[+]\s*(?:0x)?\d/g,
  },
];

/** Each number that is written twice, or has no name. */
function faultsIn(names: readonly string[], core: readonly Source[], bindings: readonly Source[]): string[] {
  const [inCore, inBindings] = [constantsOf(core), constantsOf(bindings)];
  const again = [...inCore, ...inBindings]
    .filter(({ name }) => names.includes(name))
    .map(({ file, name }) => `${file}: ${name} is declared in ${ABI}`);
  const isNumber = ({ value }: { value: string }): boolean => NUMBER.test(value);
  const known = new Set(inCore.filter(isNumber).map(({ name }) => name));
  const both = inBindings
    .filter(isNumber)
    .filter(({ name }) => known.has(name))
    .map(({ file, name }) => `${file}: ${name} is a number in the core too`);
  const bare = bindings.flatMap(({ file, text }) =>
    BARE.flatMap(({ what, pattern }) => [...text.matchAll(pattern)].map(([found]) => `${file}: ${what}: ${found}`)),
  );
  return [...again, ...both, ...bare];
}

const NAMES = Object.keys(numbers);
const values = (prefix: RegExp): number[] =>
  Object.entries(numbers)
    .filter(([name]) => prefix.test(name))
    .map(([, value]) => value);

describe('numbers that both sides use', () => {
  const core = sources('assembly');
  const bindings = sources('bindings');

  test('are written once', () => {
    expect(NAMES.length).toBeGreaterThan(100);
    expect(constantsOf(core).length).toBeGreaterThan(200);
    expect(constantsOf(bindings).length).toBeGreaterThan(50);
    expect(faultsIn(NAMES, core, bindings)).toEqual([]);
  });

  test('are plain constants, and each is used', () => {
    const lines = codeOf(readFileSync(join(ROOT, ABI), 'utf8'))
      .split('\n')
      .map((line) => line.trim())
      .filter((line) => line !== '');
    for (const line of lines) expect(line).toMatch(/^export const [A-Z][A-Z0-9_]* = (?:\d+|0x[\da-f]+) as u32;$/);
    expect(lines.length).toBe(NAMES.length);
    const words = new Set([...core, ...bindings].flatMap(({ text }) => text.match(/\b[A-Z][A-Z0-9_]*\b/g) ?? []));
    expect(NAMES.filter((name) => !words.has(name))).toEqual([]);
  });

  test.each([
    ['words of the result area', /^OUT_(?!WORDS)/],
    ['rules', /^RULE_/],
    ['words of the RAM', /^RAM_/],
    ['counters of a pool', /^COUNT_/],
    ['words of an identity', /^IDENTITY_/],
    ['modes', /^MODE_/],
    ['words of a row', /^ROW_(?!LENGTH|WORDS)/],
    ['errors', /^E[A-Z]+$(?<!ENTRY)/],
    ['answers', /^(?:FULL|POOR|COMPRESS|IN_STORE|BEING_WRITTEN|DECOMPRESS|OVER_LIMIT|REPLACED|TOO_LONG|ANSWERS_END)$/],
    [
      'counters and figures of a zswap',
      /^(?:POOL_LIMIT_HIT|WRITTEN_BACK|REJECT_\w+|DECOMPRESS_FAIL|DUPLICATE_ENTRY|WRITEBACK_FAIL|READ_FAIL|ZSWAP_\w+)$/,
    ],
    ['figures of a ramzswap', /^RAMZ_/],
  ])('%s: one number has one meaning', (_, pattern) => {
    const found = values(pattern);
    expect(found.length).toBeGreaterThan(2);
    expect(new Set(found).size).toBe(found.length);
  });

  test.each([
    ['words of the result area', /^OUT_(?!WORDS)/, numbers.OUT_WORDS],
    [
      'counters and figures of a zswap',
      /^(?:POOL_LIMIT_HIT|WRITTEN_BACK|REJECT_\w+|DECOMPRESS_FAIL|DUPLICATE_ENTRY|WRITEBACK_FAIL|READ_FAIL|ZSWAP_\w+)$/,
      numbers.ZSWAP_STORE_SLOTS + 1,
    ],
    ['figures of a ramzswap', /^RAMZ_/, numbers.RAMZ_STORE + 1],
  ])('%s have no gap', (_, pattern, count) => {
    expect(values(pattern).sort((a, b) => a - b)).toEqual(Array.from({ length: count }, (_, i) => i));
  });

  test('words that only the core uses come after those that both sides use', () => {
    const inside = constantsOf(core)
      .filter(({ name }) => name.startsWith('WORK_'))
      .map(({ value }) => Number(value));
    expect(inside.length).toBeGreaterThan(2);
    expect(new Set(inside).size).toBe(inside.length);
    expect(Math.min(...inside)).toBeGreaterThanOrEqual(numbers.OUT_WORDS);
  });

  test.each<[string, string, string]>([
    ['a name of abi.ts, in the core', 'export const OUT_SIZE: usize = 8; ', ''],
    ['a name of abi.ts, in the bindings', '', 'const ENOENT = -2 >>> 0;'],
    ['a name that is a number in both', 'const CELL_BYTES: u32 = 1 << 3; ', 'export const CELL_BYTES = 8;'],
    ['a counter of the RAM', '', 'const n = this.#live(op).exports.ramCounter(6) >>> 0;'],
    ['a counter of a pool', '', 'return this.#counter(op, 4);'],
    ['a word of an identity', '', 'exports.zpoolIdentity(address, 2)'],
    ['a figure', '', 'front.ramzFigure(device.address, 10)'],
    ['a word of the result area', '', 'const slot = out[5] as number;'],
    ['an offset in a view', '', 'new Uint32Array(core.memory.buffer, at + 336, 1)'],
    ['an offset from an address', '', 'core.bytes[this.#address + 0x150]'],
  ])('the test notices %s', (_, inCore, inBindings) => {
    expect(
      faultsIn(
        ['OUT_SIZE', 'ENOENT'],
        [{ file: 'core.ts', text: inCore }],
        [{ file: 'bindings.ts', text: inBindings }],
      ),
    ).toHaveLength(1);
  });

  test('the test accepts names, and numbers of one side only', () => {
    const inCore = 'const CELLS: u32 = 8;\nconst TABLES: usize = POOL_TABLES + 4;';
    const inBindings =
      "const TABLES = 9;\nconst CELLS = ['a'];\nout[OUT_SIZE]; counter(RAM_FRAMES); new Uint32Array(memory.buffer, address, 1); new Uint8Array(size + 1);";
    expect(
      faultsIn(['OUT_SIZE'], [{ file: 'core.ts', text: inCore }], [{ file: 'bindings.ts', text: inBindings }]),
    ).toEqual([]);
  });
});
