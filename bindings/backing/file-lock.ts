/**
 * Locks on files that a store has open. A lock is a name that the kernel keeps: an abstract socket on Linux, a pipe on
 * Windows. The kernel frees the name when the process ends, in any way, so no stale lock can remain. On Linux, only
 * processes of the same network namespace see the name. A process that connects to the name gets the process id of its
 * owner.
 */
import * as fs from 'node:fs';
import { connect, createServer, type Server } from 'node:net';
import { CompcacheError } from '../errors.ts';
import { textOf } from './medium.ts';

/** Milliseconds to wait for the owner's answer. A busy owner may not answer in time. */
const ANSWER_TIMEOUT = 300;
const MOST_DIGITS = 10;
/** The most bytes of an abstract socket's name. */
const SOCKET_NAME = 108;

/**
 * The possible names for a file. The first name that the host accepts is used. Older Node (20) fills the name of an
 * abstract socket with NULs, later versions do not. Only a name of full length is the same in both. Bun accepts one
 * byte less.
 */
function namesOf(key: string): string[] {
  const name = `compcache-${key}`;
  if (process.platform === 'linux')
    return [`\0${name}`.padEnd(SOCKET_NAME, '.'), `\0${name}`.padEnd(SOCKET_NAME - 1, '.')];
  return process.platform === 'win32' ? [`\\\\.\\pipe\\${name}`] : [];
}

/** Listens under a name. Undefined when the host has no such names or forbids them. EBUSY when the name is taken. */
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

/**
 * Locks a file for one store. Undefined when the host has no such locks or forbids them. EBUSY when another store has
 * the file open.
 */
export async function lockFile(op: string, path: string, key: string): Promise<Server | undefined> {
  for (const name of namesOf(key)) {
    const server = await listen(op, path, name);
    if (server !== undefined) return server;
  }
  return undefined;
}

/** The process id of the owner of a name. Undefined when it cannot be found. */
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

/** Finds the owner of an abstract socket that does not answer. Looks only at processes whose descriptors we may see. */
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
    return false; // the process has ended, or belongs to another user
  }
}

function linkOf(path: string): string {
  try {
    return fs.readlinkSync(path);
  } catch {
    return '';
  }
}
