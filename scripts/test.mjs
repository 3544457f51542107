// The whole check: build, types, lint, tests in Node (some with a Redis server) and in Chromium. Ends with "N passed, N
// failed".
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const CHROMIUM = {
  name: 'Chromium',
  variable: 'CHROMIUM',
  debian: 'chromium',
  paths: ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome', '/usr/bin/google-chrome-stable'],
};
const REDIS = {
  name: 'Redis',
  variable: 'REDIS_SERVER',
  debian: 'redis-server',
  paths: ['/usr/bin/redis-server', '/usr/local/bin/redis-server', '/opt/homebrew/bin/redis-server'],
};
// The NBD clients and file system tools of test/nbd/programs.ts. Environment variables tell the tests their paths:
// NBDINFO_PROGRAM and so on.
const FOLDERS = ['/usr/bin', '/usr/sbin', '/bin', '/sbin', '/usr/local/bin', '/usr/local/sbin', '/opt/homebrew/bin'];
const NBD_PROGRAMS = Object.entries({
  'libnbd-bin': ['nbdinfo', 'nbdcopy'],
  'qemu-utils': ['qemu-img', 'qemu-io'],
  e2fsprogs: ['mke2fs', 'e2fsck', 'debugfs'],
  'util-linux': ['blkid'],
  file: ['file'],
}).flatMap(([debian, names]) =>
  names.map((name) => ({
    name,
    variable: `${name.toUpperCase().replace('-', '_')}_PROGRAM`,
    debian,
    paths: FOLDERS.map((folder) => join(folder, name)),
  })),
);

function run(command, args, options = {}) {
  return spawnSync(command, args, { stdio: 'inherit', ...options }).status === 0;
}

function step(title, command, args, options) {
  console.log(`\n── ${title}`);
  if (run(command, args, options)) return;
  console.error(`${title}: failed`);
  console.log('0 passed, 1 failed');
  process.exit(1);
}

/**
 * Path of a program: from its variable, one of `paths` that exists, or a Debian package that is installed now (as
 * root).
 */
function program({ name, variable, paths, debian }) {
  const found = [process.env[variable], ...paths].find((path) => path && existsSync(path));
  if (found) return found;
  console.log(`── ${name}: not found, installing the Debian package`);
  if (process.getuid?.() === 0) {
    run('apt-get', ['update', '-qq']);
    run('apt-get', ['install', '-y', '-qq', '--no-install-recommends', debian], {
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
    });
  }
  const installed = paths.find((path) => existsSync(path));
  if (installed) return installed;
  console.error(
    `The tests need ${name}: install it (Debian: sudo apt-get install ${debian}), or set ${variable} to its path.`,
  );
  console.log('0 passed, 1 failed');
  process.exit(1);
}

const bin = (name) => join('node_modules', '.bin', name);
const needed = [CHROMIUM, REDIS, ...NBD_PROGRAMS];
const env = { ...process.env, ...Object.fromEntries(needed.map((wanted) => [wanted.variable, program(wanted)])) };
step('build', process.execPath, ['scripts/build.mjs']);
step('types', bin('tsc'), ['-p', 'tsconfig.json']);
step('lint', bin('eslint'), ['.', '--max-warnings', '0']);
step('format', bin('prettier'), ['--check', '.']);

console.log('\n── tests');
const folder = mkdtempSync(join(tmpdir(), 'compcache-test-'));
const report = join(folder, 'report.json');
const passed = run(
  bin('vitest'),
  ['run', '--reporter=default', '--reporter=json', `--outputFile.json=${report}`, ...process.argv.slice(2)],
  { env },
);
const counts = existsSync(report) ? JSON.parse(readFileSync(report, 'utf8')) : { numPassedTests: 0, numFailedTests: 0 };
rmSync(folder, { recursive: true, force: true });
// A test file that did not load has no failed test, so `failed` is at least 1 when vitest failed.
const failed = Math.max(counts.numFailedTests, passed ? 0 : 1);
console.log(`${counts.numPassedTests} passed, ${failed} failed`);
process.exit(passed && counts.numPassedTests > 0 ? 0 : 1);
