/**
 * Names that say which files are open in a store. The kernel takes a name back when its process ends, however it ends, so that
 * nothing stale can block: on Linux an abstract socket, which processes of the same network namespace see, on Windows a pipe.
 * Whoever connects to one is told the process id of its owner.
 */
import * as fs from 'node:fs';
import { connect, createServer, type Server } from 'node:net';
import { CompcacheError } from '../errors.ts';
import { textOf } from './medium.ts';

/** Milliseconds in which an owner must answer; one that is busy may not. */
const ANSWER_TIMEOUT = 300;
const MOST_DIGITS = 10;
/** The most bytes of an abstract socket's name. */
const SOCKET_NAME = 108;

/**
 * The names of a file, the first that the host takes counts. Older Node (20) fills the name of an abstract socket up with NULs,
 * later ones do not: only one of full length is the same in both. Bun takes one byte less.
 */
function namesOf(key: string): string[] {
  const name = `compcache-${key}`;
  if (process.platform === 'linux')
    return [`\0${name}`.padEnd(SOCKET_NAME, '.'), `\0${name}`.padEnd(SOCKET_NAME - 1, '.')];
  return process.platform === 'win32' ? [`\\\\.\\pipe\\${name}`] : [];
}

/** Listens under a name; undefined where the host has or allows no such name. EBUSY when it is taken. */
function listen(op: string, path: string, name: string): Promise<Server | undefined> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => void socket.on('error', () => {}).end(String(process.pid)));
    server.on('error', (cause) => {
      if (textOf(cause, 'code') !== 'EADDRINUSE') {
        resolve(undefined);
        return;
      }
      void ownerOf(name).then((owner) => {
        const by = owner === undefined ? '' : `, of process ${owner}`;
        reject(
          new CompcacheError('EBUSY', op, `${path} is open in another store${by}`, {
            cause,
            detail: { path, ...(owner === undefined ? {} : { owner }) },
          }),
        );
      });
    });
    server.listen({ path: name, exclusive: true }, () => resolve(server.unref()));
  });
}

/** Marks a file as open in a store; undefined where the host has or allows no such marks. EBUSY when it is open in another. */
export async function lockFile(op: string, path: string, key: string): Promise<Server | undefined> {
  for (const name of namesOf(key)) {
    const server = await listen(op, path, name);
    if (server !== undefined) return server;
  }
  return undefined;
}

/** The process id of the owner of a name, as far as it can be told. */
async function ownerOf(name: string): Promise<number | undefined> {
  return (await askOwner(name)) ?? (process.platform === 'linux' ? searchOwner(name) : undefined);
}

function askOwner(name: string): Promise<number | undefined> {
  return new Promise((resolve) => {
    const socket = connect({ path: name }).setEncoding('latin1').setTimeout(ANSWER_TIMEOUT);
    let answer = '';
    socket.on('data', (text: string) => {
      answer += text;
      if (answer.length > MOST_DIGITS) socket.destroy();
    });
    socket.on('timeout', () => void socket.destroy()).on('error', () => {});
    socket.on('close', () => resolve(/^[1-9]\d{0,9}$/.test(answer) ? Number(answer) : undefined));
  });
}

/** Finds the owner of an abstract socket that does not answer, among the processes whose descriptors we may see. */
function searchOwner(name: string): number | undefined {
  try {
    const shown = `@${name.slice(1)}`;
    const sockets = fs
      .readFileSync('/proc/net/unix', 'latin1')
      .split('\n')
      .map((line) => line.split(/\s+/))
      .filter((words) => words[7] === shown);
    const links = new Set(sockets.map((words) => `socket:[${words[6]}]`));
    return fs
      .readdirSync('/proc')
      .filter((entry) => /^\d+$/.test(entry))
      .map(Number)
      .find((pid) => hasOpen(pid, links));
  } catch {
    return undefined;
  }
}

function hasOpen(pid: number, links: ReadonlySet<string>): boolean {
  try {
    return fs.readdirSync(`/proc/${pid}/fd`).some((fd) => links.has(linkOf(`/proc/${pid}/fd/${fd}`)));
  } catch {
    return false; // it has ended, or is another user's
  }
}

function linkOf(path: string): string {
  try {
    return fs.readlinkSync(path);
  } catch {
    return '';
  }
}
