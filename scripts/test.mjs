// The whole check: build, types, lint, format, and the tests in Node, with other programs and in Chromium.
//   node scripts/test.mjs                  all of it
//   node scripts/test.mjs node             the wasm builds, and the tests in Node that need no other program
//   node scripts/test.mjs allocator NAME   a quick build of the core, and the tests of one allocator on it
// Says how long each part took, and ends with "N passed, N failed". What else is given goes to vitest.
import { readFileSync } from 'node:fs';
import { parseCLI, startVitest } from 'vitest/node';
import { bin, fail, part, since, together } from './parts.mjs';
import { missing, variables } from './programs.mjs';
import { Report } from './report.mjs';

const start = performance.now();

/** Runs vitest with its arguments and further environment variables, and ends the check. */
async function tests(args, environment = {}) {
  Object.assign(process.env, environment);
  const { filter, options } = parseCLI(['vitest', 'run', ...args]);
  const report = new Report();
  const vitest = await startVitest('test', filter, { ...options, reporters: ['default', report] });
  await vitest.close();
  for (const line of report.lines()) console.log(`── ${line}`);
  console.log(`── all: ${since(start)}`);
  const { passed, failed } = report;
  console.log(`${passed} passed, ${failed} failed`);
  process.exit(passed > 0 && failed === 0 ? 0 : 1);
}

async function testAll(args) {
  const names = missing().map((one) => one.names[0]);
  if (names.length > 0) fail(`The tests need ${names.join(', ')}: run npm run setup, which installs what is missing.`);
  await part('build of the core', process.execPath, ['scripts/build.mjs', 'core']);
  await together(
    ['build of the package', process.execPath, ['scripts/build.mjs']],
    ['types', bin('tsc'), ['-p', 'tsconfig.json']],
    ['lint', bin('eslint'), ['.', '--max-warnings', '0']],
    ['format', bin('prettier'), ['--check', '.']],
  );
  await tests(args, variables());
}

async function testNode(args) {
  await part('build of the core', process.execPath, ['scripts/build.mjs', 'core']);
  await tests(['--project', 'node', ...args]);
}

async function testAllocator([name, ...args]) {
  const kinds = readFileSync('assembly/alloc/index.ts', 'utf8').matchAll(/^export const (\w+) = \d+ as u32;$/gm);
  const names = [...kinds].map(([, kind]) => kind);
  if (!names.includes(name)) fail(`no allocator ${name}: ${names.join(', ')}`);
  await part('quick build of the core', process.execPath, ['scripts/build.mjs', 'quick']);
  const files = [
    `test/unit/${name}`,
    ...['conformance/checked', 'conformance/golden.', 'random/pools'].map((file) => `test/${file}`),
  ];
  const { VITE_BUDGET = '0.25' } = process.env;
  await tests(['--project', 'node', ...files, ...args], { VITE_ALLOCATOR: name, VITE_BUILDS: 'checked', VITE_BUDGET });
}

const [what, ...rest] = process.argv.slice(2);
if (what === 'node') await testNode(rest);
else if (what === 'allocator') await testAllocator(rest);
else await testAll(process.argv.slice(2));
