/**
 * NBD servers and clients. The servers are `compcache serve` as built and nbdkit's RAM disk without compression, each
 * in its own process.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { MmStat } from '../bindings/index.ts';
import { askControl } from '../cli/nbd/index.ts';
import { lacks } from './peers.ts';

const COMMAND = fileURLToPath(new URL('../dist/cli/main.js', import.meta.url));
const START_MS = 20_000;
const POLL_MS = 20;
const REQUEST_MS = 600_000;

/** The Debian package of each program. */
const PACKAGES = { nbdkit: 'nbdkit', nbdcopy: 'libnbd-bin', 'qemu-io': 'qemu-utils' } as const;
type Program = keyof typeof PACKAGES;

// Folders that are not in an ordinary user's PATH.
const PATH = `${process.env.PATH}:/usr/sbin:/sbin`;

/** True when a program is installed. Otherwise it is noted as missing. */
export function hasProgram(name: Program): boolean {
  const found = PATH.split(':').some((folder) => existsSync(`${folder}/${name}`));
  if (!found) lacks(name, `not installed (Debian: ${PACKAGES[name]})`);
  return found;
}

/** True when the command is built. Otherwise it is noted as missing. */
export function hasServe(): boolean {
  const found = existsSync(COMMAND);
  if (!found) lacks('compcache serve', 'not built (npm run build)');
  return found;
}

/** Runs a client until it ends, and returns its output. Throws when the client fails. */
export async function client(program: Program, args: readonly string[], input = ''): Promise<string> {
  const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'], env: { ...process.env, PATH } });
  let said = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (said += text));
  child.stdin.end(input);
  const [code] = (await once(child, 'close')) as [number | null];
  if (code !== 0) throw new Error(`${program} ${args.join(' ')}: exit code ${code}`);
  return said;
}

/** A server of one device on a Unix socket. */
export class Server {
  readonly name: string;
  readonly #child: ChildProcess;
  readonly socket: string;
  #emptyRss = 0;

  protected constructor(name: string, socket: string, command: string, args: readonly string[]) {
    this.name = name;
    this.socket = socket;
    this.#child = spawn(command, args, { stdio: ['ignore', 'ignore', 'inherit'], env: { ...process.env, PATH } });
  }

  /** A server with nbdkit's memory disk. */
  static nbdkit(folder: string, bytes: number): Promise<Server> {
    const socket = `${folder}/nbdkit`;
    return new Server('nbdkit memory', socket, 'nbdkit', [
      '--foreground',
      '--exit-with-parent',
      '--unix',
      socket,
      'memory',
      String(bytes),
    ]).#ready();
  }

  /** A server with the built `compcache serve`. */
  static compcache(folder: string, bytes: number, more: readonly string[] = []): Promise<Compressed> {
    const socket = `${folder}/compcache`;
    return new Compressed('compcache serve', socket, process.execPath, [
      COMMAND,
      'serve',
      '--disksize',
      String(bytes),
      '--socket',
      socket,
      ...more,
    ]).#ready();
  }

  get uri(): string {
    return `nbd+unix:///?socket=${this.socket}`;
  }

  /** Memory divided by the bytes of the data. `grown` is the growth of the process since the device was empty. */
  async memory(bytes: number): Promise<Record<string, number>> {
    const pool = await this.poolBytes();
    return {
      grown: (this.#rss() - this.#emptyRss) / bytes,
      rssMiB: this.#rss() / 2 ** 20,
      ...(pool !== undefined && { pool: pool / bytes }),
    };
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null) return;
    this.#child.kill();
    await once(this.#child, 'exit');
  }

  /** Memory of the compressed pages. Undefined for a server that does not compress. */
  protected async poolBytes(): Promise<number | undefined> {
    return undefined;
  }

  /** Waits until the socket exists. */
  async #ready(): Promise<this> {
    for (let waited = 0; !existsSync(this.socket); waited += POLL_MS) {
      if (this.#child.exitCode !== null || waited > START_MS) {
        await this.stop();
        throw new Error(`${this.name} does not start`);
      }
      await delay(POLL_MS);
    }
    this.#emptyRss = this.#rss();
    return this;
  }

  #rss(): number {
    const status = readFileSync(`/proc/${this.#child.pid}/status`, 'utf8');
    return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024;
  }
}

export class Compressed extends Server {
  /** Sends it a control request, as rzscontrol does. */
  ask(op: string, args?: Record<string, unknown>): Promise<unknown> {
    return askControl(`${this.socket}.ctl`, op, args, { timeout: REQUEST_MS });
  }

  protected override async poolBytes(): Promise<number> {
    return ((await this.ask('stats')) as { mmStat: MmStat }).mmStat.memUsedTotal;
  }
}
