// Seeded faults: do the tests find them? Each patch of test/faults is applied to a copy of the tree, the core is built if the
// patch changes it, and the tests that the patch names must fail. Ends with "N of M caught".
//   node scripts/faults.mjs            all
//   node scripts/faults.mjs lz4 zbud   those whose names contain one of these words
//
// A patch has these lines, then a unified diff:
//   one line that describes the fault
//   test: <test file> -t <part of the test's full name, a regular expression>     (one line or more)
// It is applied by its text, not by its line numbers: the removed lines and the context must be in the file exactly once.
// A fault in assembly/ is built as the release target, with little optimisation.
import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

const FOLDER = 'test/faults';
/** Parts of the tree that are not copied. */
const LEFT_OUT = ['node_modules', '.git', 'dist', 'coverage'];
/** Milliseconds after which tests count as failed: a fault may be a loop without an end. */
const MOST_TIME = 120_000;

// ── patches ──────────────────────────────────────────────────────────────────

/** Reads a patch: its description, the tests to run, and for each file the lines to replace. */
function parse(name) {
  const lines = readFileSync(join(FOLDER, name), 'utf8').split('\n');
  const fault = { name: name.replace(/\.patch$/, ''), says: lines[0], tests: [], edits: [] };
  let edit;
  for (const line of lines.slice(1)) {
    const test = /^test: (\S+) -t (.+)$/.exec(line);
    if (test !== null) fault.tests.push({ file: test[1], pattern: test[2] });
    else if (line.startsWith('+++ b/')) fault.file = line.slice('+++ b/'.length);
    else if (line.startsWith('@@')) fault.edits.push((edit = { file: fault.file, before: [], after: [] }));
    else if (edit !== undefined && /^[ +-]/.test(line)) {
      if (line[0] !== '+') edit.before.push(line.slice(1));
      if (line[0] !== '-') edit.after.push(line.slice(1));
    }
  }
  if (fault.tests.length === 0 || fault.edits.length === 0)
    throw new Error(`${name}: a patch needs a line "test: <file> -t <name>" and a hunk`);
  return fault;
}

/** Puts the fault into the copy. @returns the original files */
function apply({ name, edits }, copy) {
  const originals = new Map();
  for (const { file, before, after } of edits) {
    const path = join(copy, file);
    const text = readFileSync(path, 'utf8');
    if (!originals.has(path)) originals.set(path, text);
    const lines = text.split('\n');
    const places = lines.flatMap((_, at) => (before.every((line, i) => lines[at + i] === line) ? [at] : []));
    if (places.length !== 1)
      throw new Error(`${name} does not apply: in ${file} this is ${places.length} times:\n${before.join('\n')}`);
    lines.splice(places[0], before.length, ...after);
    writeFileSync(path, lines.join('\n'));
  }
  return originals;
}

// ── the copy ─────────────────────────────────────────────────────────────────

function makeCopy() {
  const copy = mkdtempSync(join(tmpdir(), 'compcache-faults-'));
  for (const entry of readdirSync('.')) {
    if (!LEFT_OUT.includes(entry)) cpSync(entry, join(copy, entry), { recursive: true });
  }
  symlinkSync(resolve('node_modules'), join(copy, 'node_modules'));
  return copy;
}

/** The builds that changed files need: the release core, and the codec modules. */
function partsFor(files) {
  const parts = [];
  if (files.some((file) => file.startsWith('assembly/'))) parts.push('release');
  if (files.some((file) => file.startsWith('assembly/codec/'))) parts.push('codec');
  return parts;
}

/** @returns true when the build succeeded */
function build(copy, part) {
  const args = ['scripts/build.mjs', 'quick', part];
  return spawnSync(process.execPath, args, { cwd: copy, stdio: ['ignore', 'ignore', 'inherit'] }).status === 0;
}

/** The files that each build makes. */
const BUILT = {
  release: ['bindings/generated/core.ts', 'build/core.wasm'],
  codec: ['test/generated/codec-simd.ts', 'test/generated/codec-scalar.ts'],
};

// ── tests ────────────────────────────────────────────────────────────────────

/** Runs tests of one file in the copy. @returns the names of the tests that passed, and those that failed */
function runTests(copy, file, pattern) {
  const result = join(copy, 'faults-result.json');
  rmSync(result, { force: true });
  const vitest = [
    'node_modules/vitest/vitest.mjs',
    'run',
    '--project',
    'node',
    '--project',
    'system',
    file,
    '-t',
    pattern,
    '--bail',
    '1',
  ];
  const { status, signal } = spawnSync(process.execPath, [...vitest, '--reporter=json', `--outputFile=${result}`], {
    cwd: copy,
    stdio: 'ignore',
    timeout: MOST_TIME,
    killSignal: 'SIGKILL',
    env: { ...process.env, VITE_BUILDS: 'release' },
  });
  if (signal !== null) return { passed: [], failed: [`${file}: no end in ${MOST_TIME / 1000} s`] };
  let tests;
  try {
    tests = JSON.parse(readFileSync(result, 'utf8')).testResults.flatMap(({ assertionResults }) => assertionResults);
  } catch {
    return { passed: [], failed: [`${file} cannot be run`] };
  }
  const named = (is) => tests.filter((test) => test.status === is).map((test) => test.fullName);
  const failed = named('failed').map((name) => `${file}: ${name}`);
  // An error outside of the tests, such as an unhandled rejection, is a failure too.
  if (failed.length === 0 && status !== 0) failed.push(`${file}: an error outside of its tests`);
  return { passed: named('passed'), failed };
}

/** Runs each of the tests without a fault. @returns how many passed */
function requireSound(copy, faults) {
  const patterns = new Map();
  for (const { tests } of faults)
    for (const test of tests) patterns.set(test.file, [...(patterns.get(test.file) ?? []), test]);
  let count = 0;
  for (const [file, tests] of patterns) {
    const { passed, failed } = runTests(copy, file, tests.map(({ pattern }) => `(${pattern})`).join('|'));
    if (failed.length !== 0) throw new Error(`without a fault this fails: ${failed.join(', ')}`);
    for (const { pattern } of tests) {
      if (!passed.some((name) => new RegExp(pattern).test(name))) throw new Error(`${file} has no test "${pattern}"`);
    }
    count += passed.length;
  }
  return count;
}

/** Tries one fault. @returns the test that found it; undefined when none did */
function tryFault(copy, fault, sound) {
  const originals = apply(fault, copy);
  const parts = partsFor(fault.edits.map(({ file }) => file));
  try {
    for (const part of parts) if (!build(copy, part)) throw new Error(`${fault.name} cannot be built`);
    for (const test of fault.tests) {
      const { failed } = runTests(copy, test.file, test.pattern);
      if (failed.length !== 0) return failed[0];
    }
    return undefined;
  } finally {
    for (const [path, text] of originals) writeFileSync(path, text);
    for (const [path, bytes] of sound) if (parts.length !== 0) writeFileSync(path, bytes);
  }
}

// ── the run ──────────────────────────────────────────────────────────────────

const words = process.argv.slice(2);
const faults = readdirSync(FOLDER)
  .filter((name) => name.endsWith('.patch') && (words.length === 0 || words.some((word) => name.includes(word))))
  .map(parse);
if (faults.length === 0) {
  console.error(`no fault in ${FOLDER} is named so: ${words.join(' ')}`);
  process.exit(1);
}

const copy = makeCopy();
try {
  for (const fault of faults) for (const [path, text] of apply(fault, copy)) writeFileSync(path, text);
  const parts = new Set(faults.flatMap(({ edits }) => partsFor(edits.map(({ file }) => file))));
  for (const part of parts) if (!build(copy, part)) throw new Error('the core cannot be built without a fault');
  const sound = [...parts]
    .flatMap((part) => BUILT[part])
    .map((file) => [join(copy, file), readFileSync(join(copy, file))]);
  console.log(`${requireSound(copy, faults)} tests pass without a fault`);
  let caught = 0;
  for (const fault of faults) {
    const from = Date.now();
    const by = tryFault(copy, fault, sound);
    if (by !== undefined) caught += 1;
    const seconds = ((Date.now() - from) / 1000).toFixed(0);
    console.log(`${by === undefined ? 'ESCAPED' : 'caught '} ${fault.name} (${seconds} s): ${fault.says}`);
    if (by !== undefined) console.log(`        by ${by}`);
  }
  console.log(`${caught} of ${faults.length} caught`);
  process.exitCode = caught === faults.length ? 0 : 1;
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
} finally {
  rmSync(copy, { recursive: true, force: true });
}
