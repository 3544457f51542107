// The programs that tests need beside Node: where they are looked for, and the Debian packages that have them.
import { existsSync } from 'node:fs';
import { join } from 'node:path';

const FOLDERS = ['/usr/bin', '/usr/sbin', '/bin', '/sbin', '/usr/local/bin', '/usr/local/sbin', '/opt/homebrew/bin'];

function program(debian, variable, ...names) {
  return { debian, variable, names };
}

function client(debian, name) {
  return program(debian, `${name.toUpperCase().replace('-', '_')}_PROGRAM`, name);
}

/** Each with the variable that names its path, and its names. */
export const PROGRAMS = [
  program('chromium', 'CHROMIUM', 'chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'),
  program('redis-server', 'REDIS_SERVER', 'redis-server'),
  client('libnbd-bin', 'nbdinfo'),
  client('libnbd-bin', 'nbdcopy'),
  client('qemu-utils', 'qemu-img'),
  client('qemu-utils', 'qemu-io'),
  client('e2fsprogs', 'mke2fs'),
  client('e2fsprogs', 'e2fsck'),
  client('e2fsprogs', 'debugfs'),
  client('util-linux', 'blkid'),
  client('file', 'file'),
];

/** The path of a program: what its variable names, or where it is installed; undefined if it is nowhere. */
export function pathOf({ variable, names }) {
  const installed = names.flatMap((name) => FOLDERS.map((folder) => join(folder, name)));
  return [process.env[variable], ...installed].find((path) => path && existsSync(path));
}

/** Those that are not there. */
export function missing() {
  return PROGRAMS.filter((one) => pathOf(one) === undefined);
}

/** The variables that tell the tests where each program is. */
export function variables() {
  return Object.fromEntries(PROGRAMS.map((one) => [one.variable, pathOf(one)]));
}
