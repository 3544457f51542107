// The main job on a machine that has nothing but Node: an estimate of the pages of the Node executable. Arguments are passed on.
import { spawnSync } from 'node:child_process';

const { status } = spawnSync(
  process.execPath,
  ['dist/cli/main.js', 'estimate', process.execPath, ...process.argv.slice(2)],
  { stdio: 'inherit' },
);
process.exit(status ?? 1);
