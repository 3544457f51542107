// `npm start`: a demonstration that needs only Node. It estimates how well the pages of the Node executable compress.
// Arguments are passed on to `estimate`.
import { spawnSync } from 'node:child_process';

const { status } = spawnSync(
  process.execPath,
  ['dist/cli/main.js', 'estimate', process.execPath, ...process.argv.slice(2)],
  { stdio: 'inherit' },
);
process.exit(status ?? 1);
