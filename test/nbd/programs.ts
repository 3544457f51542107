/** The NBD clients and file system tools of Debian's packages, for tests: as scripts/test.mjs has found them, or on the path. */
import { spawn } from 'node:child_process';

type Program = 'nbdinfo' | 'nbdcopy' | 'qemu-img' | 'qemu-io' | 'mke2fs' | 'e2fsck' | 'debugfs' | 'blkid' | 'file';

// These folders are not on the path of an ordinary user.
const PATH = `${process.env.PATH}:/usr/sbin:/sbin`;

export interface Ended {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** A running program. */
export interface Running {
  readonly ended: Promise<Ended>;
  kill(): void;
}

/** Runs a program until it ends, with any exit code. Fails when it is not installed. */
export function run(program: Program, ...args: string[]): Promise<Ended> {
  return start(program, ...args).ended;
}

export function start(program: Program, ...args: string[]): Running {
  const command = process.env[`${program.toUpperCase().replace('-', '_')}_PROGRAM`] ?? program;
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, PATH, LC_ALL: 'C' } });
  const ended: Ended = { code: null, stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => (ended.stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (ended.stderr += text));
  return {
    ended: new Promise((resolve, reject) => {
      child.on('error', (cause) =>
        reject(new Error(`${command} does not start: install it (Debian: npm run setup)`, { cause })),
      );
      child.on('close', (code) => resolve({ ...ended, code }));
    }),
    kill: () => void child.kill('SIGKILL'),
  };
}

/** Runs a program, which must succeed. @returns its output */
export async function output(program: Program, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await run(program, ...args);
  if (code !== 0) throw new Error(`${program} ${args.join(' ')}: exit code ${code}\n${stdout}${stderr}`);
  return stdout;
}
