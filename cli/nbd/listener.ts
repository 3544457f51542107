/**
 * Listening on a Unix socket or a TCP port, for the NBD server and the control server.
 *
 * The file of a Unix socket has mode 0600, is there until `close`, and takes the place of one that nobody answers on. It
 * never takes the place of anything else, and at the end only what is still its own is removed.
 */
import { randomUUID } from 'node:crypto';
import { chmodSync, existsSync, linkSync, lstatSync, renameSync, rmSync, unlinkSync, type Stats } from 'node:fs';
import { BlockList, connect, createServer, isIPv6, type AddressInfo, type Server, type Socket } from 'node:net';
import { dirname, join } from 'node:path';
import { isMainThread } from 'node:worker_threads';
import { CompcacheError, type ErrorCode } from '../../bindings/index.ts';

const PRIVATE = 0o600;
/** The longest name that every system's address of a Unix socket has room for. */
const MAX_PATH_BYTES = process.platform === 'linux' ? 107 : 103;
const ATTEMPTS = 8;

/** A Unix socket, or a TCP port of one address. */
export type Endpoint = { path: string } | { host: string; port: number };

export interface Listener {
  /** Where it listens; the port is the real one. */
  readonly endpoint: Endpoint;
  /** Whether only this machine can reach it. */
  readonly isLocal: boolean;
  /** Takes no more connections, and removes the socket file if it is still its own. Resolves when the last connection is closed. */
  close(): Promise<void>;
}

/** Whether a Unix socket can have such a path. */
export function isSocketPath(path: string): boolean {
  return path !== '' && !path.includes('\0') && Buffer.byteLength(path) <= MAX_PATH_BYTES;
}

/** Requires a path that a Unix socket can have. EINVAL. */
export function requireSocketPath(op: string, path: unknown): asserts path is string {
  if (typeof path !== 'string' || path === '' || path.includes('\0'))
    throw new CompcacheError('EINVAL', op, 'the path of a socket must be a string, not empty and without NUL');
  if (Buffer.byteLength(path) > MAX_PATH_BYTES)
    throw new CompcacheError('EINVAL', op, `the path of a socket may have ${MAX_PATH_BYTES} bytes: ${path}`);
}

/**
 * Listens.
 * @throws EBUSY where somebody listens already, EEXIST where a file is that is no socket
 */
export async function listen(
  op: string,
  endpoint: Endpoint,
  take: (socket: Socket) => void,
  report: (error: unknown) => void,
): Promise<Listener> {
  // A client that has said all may still read its replies. Nothing is read ahead of whoever takes it.
  const server = createServer({ allowHalfOpen: true, highWaterMark: 1 }, take);
  const remove =
    'path' in endpoint
      ? await listenPath(op, server, endpoint.path)
      : await listenPort(op, server, endpoint.host, endpoint.port);
  server.on('error', report); // accepting failed: out of descriptors
  const address = server.address();
  const isPort = !('path' in endpoint);
  return {
    endpoint: isPort ? { host: endpoint.host, port: (address as AddressInfo).port } : endpoint,
    isLocal: !isPort || isLoopback(address as AddressInfo),
    close: () =>
      new Promise((resolve) => {
        try {
          remove();
        } catch (error) {
          report(error);
        }
        server.close(() => resolve());
      }),
  };
}

const NOTHING = (): void => {};

/** Both give what is to be done before the server is closed. */
async function listenPort(op: string, server: Server, host: string, port: number): Promise<() => void> {
  const error = await started(server, () => server.listen({ host, port }));
  if (error !== undefined) throw listenError(op, `${host}:${port}`, error);
  return NOTHING;
}

function isLoopback({ address }: AddressInfo): boolean {
  const loopback = new BlockList();
  loopback.addSubnet('127.0.0.0', 8);
  loopback.addAddress('::1', 'ipv6');
  return loopback.check(address, isIPv6(address) ? 'ipv6' : 'ipv4');
}

/**
 * The socket is made under a name that nobody knows and then linked to its path. When a server is closed, libuv removes the
 * name that it has made, whoever has it by then; the path itself is removed here, and only while it is still this socket.
 */
async function listenPath(op: string, server: Server, path: string): Promise<() => void> {
  const made = await listenAside(op, server, path);
  try {
    chmodSync(made, PRIVATE);
    const { ino, dev } = lstatSync(made, { bigint: true });
    await put(op, made, path);
    return () => {
      const now = lstatSync(path, { bigint: true, throwIfNoEntry: false });
      if (now !== undefined && now.ino === ino && now.dev === dev) rmSync(path, { force: true });
    };
  } catch (error) {
    server.close();
    throw error instanceof CompcacheError ? error : listenError(op, path, error as NodeJS.ErrnoException);
  }
}

/** Listens under a free name in the same folder, and gives that name. */
async function listenAside(op: string, server: Server, path: string): Promise<string> {
  const folder = dirname(path);
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const made = join(folder, asideName(MAX_PATH_BYTES - Buffer.byteLength(join(folder, 'x')) + 1));
    const error = await started(server, () => privately(() => server.listen({ path: made })));
    if (error === undefined) return made;
    if (error.code !== 'EADDRINUSE')
      throw existsSync(folder)
        ? listenError(op, path, error)
        : new CompcacheError('ENOENT', op, `there is no folder ${folder}`, { cause: error });
  }
  throw new CompcacheError('EBUSY', op, `no name is free beside ${path}`);
}

/** A name of any kind with at most so many bytes. */
function asideName(most: number): string {
  return `.${randomUUID()}`.slice(most < 2 ? 1 : 0).slice(0, most);
}

/** Gives a socket the name that it is to have, in the place of one that nobody answers on. */
async function put(op: string, made: string, path: string): Promise<void> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    if (moveIfFree(made, path)) return;
    await removeStale(op, path);
  }
  throw new CompcacheError('EBUSY', op, `another server takes ${path} again and again`);
}

/** Moves a file; false when there is something at the new path. Where hard links work, no moment is left for somebody else. */
function moveIfFree(from: string, to: string): boolean {
  try {
    linkSync(from, to);
  } catch {
    if (lstatSync(to, { throwIfNoEntry: false }) !== undefined) return false;
    renameSync(from, to);
    return true;
  }
  unlinkSync(from);
  return true;
}

/** Makes a socket file that nobody else may use, from its first moment; a worker has to do with chmod afterwards. */
function privately(bind: () => void): void {
  if (!isMainThread) return bind();
  const before = process.umask(0o777 & ~PRIVATE);
  try {
    bind(); // binds before it returns
  } finally {
    process.umask(before);
  }
}

/** Starts to listen; the error that prevents it. */
function started(server: Server, start: () => void): Promise<NodeJS.ErrnoException | undefined> {
  return new Promise((resolve) => {
    const settle = (error?: NodeJS.ErrnoException): void => {
      server.off('listening', settle).off('error', settle);
      resolve(error);
    };
    server.once('listening', settle).once('error', settle);
    start();
  });
}

/** Removes a socket that nobody answers on. Another server may do the same: only what was looked at is removed. */
async function removeStale(op: string, path: string): Promise<void> {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return;
  if (!found.isSocket()) throw new CompcacheError('EEXIST', op, `${path} is there and is no socket`);
  if (await isAnswered(path)) throw new CompcacheError('EBUSY', op, `another server listens on ${path}`);
  const now = lstatSync(path, { throwIfNoEntry: false });
  if (now === undefined || !isSame(now, found)) return;
  try {
    unlinkSync(path);
  } catch (error) {
    throw listenError(op, path, error as NodeJS.ErrnoException);
  }
}

function isSame(one: Stats, two: Stats): boolean {
  return one.ino === two.ino && one.dev === two.dev && one.ctimeMs === two.ctimeMs;
}

/** Only a refusal says that nobody is there. */
function isAnswered(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ path });
    socket.on('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('error', ({ code }: NodeJS.ErrnoException) => resolve(code !== 'ECONNREFUSED' && code !== 'ENOENT'));
  });
}

const CODES: Record<string, ErrorCode> = {
  EADDRINUSE: 'EBUSY',
  EADDRNOTAVAIL: 'EINVAL',
  ENOTFOUND: 'EINVAL',
  EAFNOSUPPORT: 'EINVAL',
  EINVAL: 'EINVAL',
  ENOTDIR: 'EINVAL',
};

function listenError(op: string, where: string, cause: NodeJS.ErrnoException): CompcacheError {
  return new CompcacheError(CODES[cause.code ?? ''] ?? 'EIO', op, `cannot listen on ${where}: ${cause.message}`, {
    cause,
  });
}
