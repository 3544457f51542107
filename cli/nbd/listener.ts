/**
 * Listening on a Unix socket or a TCP port, for the NBD server and the control server.
 *
 * The file of a Unix socket has mode 0600 and exists until `close`. It replaces an old socket that no server listens
 * on, but nothing else. `close` removes the file only if it is still this server's.
 */
import { randomUUID } from 'node:crypto';
import { chmodSync, existsSync, linkSync, lstatSync, renameSync, rmSync, unlinkSync, type Stats } from 'node:fs';
import { BlockList, connect, createServer, isIPv6, type AddressInfo, type Server, type Socket } from 'node:net';
import { dirname, join } from 'node:path';
import { isMainThread } from 'node:worker_threads';
import { CompcacheError, type ErrorCode } from '../../bindings/index.ts';

const PRIVATE = 0o600;
/** The longest path of a Unix socket in bytes. */
const MAX_PATH_BYTES = process.platform === 'linux' ? 107 : 103;
const ATTEMPTS = 8;

/** A Unix socket, or a TCP port of one address. */
export type Endpoint = { path: string } | { host: string; port: number };

export interface Listener {
  /** Where the server listens. The port is the real one, also when port 0 was asked for. */
  readonly endpoint: Endpoint;
  /** True when only this machine can reach the server. */
  readonly isLocal: boolean;
  /**
   * Accepts no more connections, and removes the socket file if it is still this server's. Resolves when the last
   * connection is closed.
   */
  close(): Promise<void>;
}

/** True when a Unix socket can have this path. */
export function isSocketPath(path: string): boolean {
  return path !== '' && !path.includes('\0') && Buffer.byteLength(path) <= MAX_PATH_BYTES;
}

/** Requires a path that a Unix socket can have. EINVAL. */
export function requireSocketPath(op: string, path: unknown): asserts path is string {
  if (typeof path !== 'string' || path === '' || path.includes('\0'))
    throw new CompcacheError('EINVAL', op, 'the path of a socket must be a string, not empty and without NUL');
  if (Buffer.byteLength(path) > MAX_PATH_BYTES)
    throw new CompcacheError('EINVAL', op, `the path of a socket may have at most ${MAX_PATH_BYTES} bytes: ${path}`);
}

/**
 * Starts to listen.
 * @throws EBUSY when another server listens there, EEXIST when the path has a file that is not a socket
 */
export async function listen(
  op: string,
  endpoint: Endpoint,
  take: (socket: Socket) => void,
  report: (error: unknown) => void,
): Promise<Listener> {
  // A client that has ended its side may still read its replies. Only the bytes that are needed are read from the
  // socket.
  const server = createServer({ allowHalfOpen: true, highWaterMark: 1 }, take);
  const remove =
    'path' in endpoint
      ? await listenPath(op, server, endpoint.path)
      : await listenPort(op, server, endpoint.host, endpoint.port);
  server.on('error', report); // accept failed: no more descriptors
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

/** Both return the function to call before the server is closed. */
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
 * The socket is made under a random name and then linked to its path. When a server is closed, libuv removes the name
 * that it made, even if that is another server's file by then. So the path is removed here, and only if it is still
 * this socket.
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

/** Listens under a free random name in the same folder. Returns that name. */
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

/** A random name with at most `most` bytes. */
function asideName(most: number): string {
  return `.${randomUUID()}`.slice(most < 2 ? 1 : 0).slice(0, most);
}

/** Moves the socket to its path. Replaces an old socket that no server listens on. */
async function put(op: string, made: string, path: string): Promise<void> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    if (moveIfFree(made, path)) return;
    await removeStale(op, path);
  }
  throw new CompcacheError('EBUSY', op, `another server takes ${path} again and again`);
}

/** Moves a file. False when the new path exists. With hard links, this check is atomic. */
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

/**
 * Makes a socket file with mode 0600 from the start. A worker cannot set the umask, so the caller uses chmod
 * afterwards.
 */
function privately(bind: () => void): void {
  if (!isMainThread) return bind();
  const before = process.umask(0o777 & ~PRIVATE);
  try {
    bind(); // binds before it returns
  } finally {
    process.umask(before);
  }
}

/** Starts to listen. Returns the error, if there is one. */
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

/**
 * Removes a socket that no server listens on. Another server may do the same, so only the file that was checked is
 * removed.
 */
async function removeStale(op: string, path: string): Promise<void> {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return;
  if (!found.isSocket()) throw new CompcacheError('EEXIST', op, `${path} exists and is not a socket`);
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

/** True unless the connection is refused or there is no file. Other errors do not prove that no server is there. */
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
