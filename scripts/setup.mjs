// Installs what the tests need beside Node, as Debian packages: `npm run setup`. Where it may not, it says what to install.
import { spawnSync } from 'node:child_process';
import { missing } from './programs.mjs';

function run(command, ...args) {
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  return spawnSync(command, args, { stdio: 'inherit', env }).status === 0;
}

/** The packages of programs, each once. */
function packagesOf(programs) {
  return [...new Set(programs.map(({ debian }) => debian))];
}

const packages = packagesOf(missing());
if (packages.length > 0 && process.getuid?.() === 0) {
  console.log(`installing ${packages.join(' ')}`);
  run('apt-get', 'update', '-qq');
  run('apt-get', 'install', '-y', '-qq', '--no-install-recommends', ...packages);
}
const left = missing();
for (const { names, variable } of left) console.error(`missing: ${names[0]} (or set ${variable} to its path)`);
if (left.length > 0) {
  console.error(`Install what is missing; on Debian: sudo apt-get install ${packagesOf(left).join(' ')}`);
  process.exit(1);
}
console.log('All programs that the tests need are there.');
