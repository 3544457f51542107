// `npm run test:hosts`: tests on other JavaScript hosts that npm can install. Each host runs test/hosts/program.ts and
// reads the files that the hosts before it have written. Then the tests of codecs and of Keyv run on Node 24, which has
// zstd and which Keyv 6 needs.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'esbuild';

const NEW_NODE = ['npx', ['-y', '-p', 'node@24', 'node']];
const HOSTS = [
  ['node', process.execPath, []],
  ['node24', NEW_NODE[0], NEW_NODE[1]],
  ['deno', 'npx', ['-y', '-p', 'deno', 'deno', 'run', '-A', '--no-config']],
  ['bun', 'npx', ['-y', '-p', 'bun', 'bun', 'run']],
  ['node-again', process.execPath, []],
  ['node24-again', NEW_NODE[0], NEW_NODE[1]],
];

const folder = mkdtempSync(join(tmpdir(), 'compcache-hosts-'));
let failed = 0;

function run(name, command, args) {
  const { status } = spawnSync(command, args, { stdio: 'inherit' });
  if (status === 0) return;
  failed += 1;
  console.error(`${name}: failed`);
}

try {
  const program = join(folder, 'program.mjs');
  await build({
    entryPoints: ['test/hosts/program.ts'],
    bundle: true,
    format: 'esm',
    platform: 'node',
    outfile: program,
    logLevel: 'error',
  });
  for (const [name, command, args] of HOSTS) run(name, command, [...args, program, folder, name]);
  if (!process.argv.includes('--quick'))
    run('suites on Node 24', NEW_NODE[0], [
      ...NEW_NODE[1],
      'node_modules/vitest/vitest.mjs',
      'run',
      '--project',
      'node',
      '--project',
      'system',
      'test/unit/codecs.test.ts',
      'test/backing/keyv.test.ts',
      'test/backing/keyv-redis.test.ts',
    ]);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
console.log(failed === 0 ? 'all hosts passed' : `${failed} failed`);
process.exit(failed === 0 ? 0 : 1);
