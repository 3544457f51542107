// Runs the parts of a check, and says how long each took.
import { spawn } from 'node:child_process';

/** Seconds since a moment of performance.now(). */
export function since(start) {
  return `${((performance.now() - start) / 1000).toFixed(1)} s`;
}

/** Runs a command to its end. @returns whether it succeeded, and what it wrote if `options` do not let it write itself */
export function run(command, args, options = {}) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { stdio: 'inherit', ...options });
    let output = '';
    for (const stream of [child.stdout, child.stderr])
      stream?.setEncoding('utf8').on('data', (text) => (output += text));
    child.on('error', (error) => resolve({ succeeded: false, output: `${output}${error.message}\n` }));
    child.on('close', (code) => resolve({ succeeded: code === 0, output }));
  });
}

/** Ends the whole check: something failed before the tests. */
export function fail(message) {
  console.error(message);
  console.log('0 passed, 1 failed');
  process.exit(1);
}

/** Runs a part, which must succeed. */
export async function part(title, command, args) {
  const start = performance.now();
  console.log(`── ${title}`);
  const { succeeded } = await run(command, args);
  if (!succeeded) fail(`${title}: failed`);
  console.log(`── ${title}: ${since(start)}`);
}

/** Runs parts side by side, which must all succeed; shows what each wrote when it is done. @param parts [title, command, args] */
export async function together(...parts) {
  const ended = parts.map(async ([title, command, args]) => {
    const start = performance.now();
    const { succeeded, output } = await run(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    process.stdout.write(`${output}── ${title}: ${succeeded ? '' : 'failed, '}${since(start)}\n`);
    return succeeded ? [] : [title];
  });
  const failed = (await Promise.all(ended)).flat();
  if (failed.length > 0) fail(`${failed.join(', ')}: failed`);
}

/** A program of node_modules. */
export function bin(name) {
  return `node_modules/.bin/${name}`;
}
