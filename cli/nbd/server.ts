/**
 * An NBD server for one block device: fixed newstyle, simple replies, several connections.
 *
 * It listens on a Unix socket (mode 0600), or on a TCP port, by default of the loopback address. There is no
 * authentication and no TLS: every client that can connect can read and write everything.
 *
 * There are at most `maxConnections` connections. Together they hold at most 160 MiB of payload (requests.ts). When
 * there are too many clients, a new one replaces a client that has not chosen the export yet (client-limit.ts).
 */
import { CompcacheError } from '../../bindings/index.ts';
import { Connection } from './connection.ts';
import type { BlockDevice } from './device.ts';
import { Budget } from './requests.ts';
import { listen, requireSocketPath, type Endpoint, type Listener } from './listener.ts';
import { ClientLimit } from './client-limit.ts';
import { MAX_STRING } from './protocol.ts';

const LOOPBACK = '127.0.0.1';

export interface NbdServerOptions {
  device: BlockDevice;
  /** The name of the export. The empty name, the default export, always works too. */
  exportName?: string;
  /** Text that clients show when they list the exports. */
  description?: string;
  /** The path of a Unix socket. Either this or `port`. */
  socket?: string;
  /** A TCP port; 0 for any free port. */
  port?: number;
  /** The address of the port. Default 127.0.0.1. */
  bind?: string;
  /** Default 64. When this many clients have chosen the export, new clients are refused. */
  maxConnections?: number;
  /** Milliseconds that a client may take to choose the export. Default 10,000. */
  negotiationTimeout?: number;
  /** Milliseconds that a client may stop in the middle of a request, or leave replies unread. Default 60,000. */
  stallTimeout?: number;
  /** Milliseconds that `close` waits for requests under way. Default 5,000. */
  closeTimeout?: number;
  /** Called with errors of this program: errors of the device that are not a CompcacheError, and failed accepts. */
  report?: (error: unknown) => void;
}

export interface NbdServer {
  readonly address: Endpoint;
  /** True when only this machine can reach the server. */
  readonly isLocal: boolean;
  /** The URI for NBD clients. */
  readonly uri: string;
  /** Clients that are connected. */
  readonly connections: number;
  /** Clients that have chosen the export. They would notice if the device changed. */
  readonly users: number;
  /**
   * Ends the server: accepts no more connections, removes the socket file, answers the requests that have arrived,
   * closes the connections and flushes the device. Throws the error of the flush. Later calls return the same promise.
   */
  close(): Promise<void>;
}

/** Serves a device until close. */
export async function serveNbd(options: NbdServerOptions): Promise<NbdServer> {
  const {
    device,
    exportName = '',
    description = '',
    maxConnections = 64,
    negotiationTimeout = 10_000,
    stallTimeout = 60_000,
    closeTimeout = 5000,
  } = options;
  const report = options.report ?? ((): void => {});
  requireString('exportName', exportName);
  requireString('description', description);
  const offered = { device, name: exportName, description };
  const shared = { offered, negotiationTimeout, stallTimeout, report, budget: new Budget(maxConnections) };
  const refusal = `all ${maxConnections} connections are in use: no more clients can use this device now`;
  const limit = new ClientLimit<Connection>(maxConnections);
  const listener = await listen(
    OP,
    takeEndpoint(options),
    (socket) => {
      limit.admit(
        () => new Connection(socket, shared),
        () => new Connection(socket, { ...shared, refusal }),
      );
    },
    report,
  );
  let closed: Promise<void> | undefined;
  return {
    address: listener.endpoint,
    isLocal: listener.isLocal,
    uri: uriOf(listener.endpoint, exportName),
    get connections() {
      return limit.clients.filter(({ isConnected }) => isConnected).length;
    },
    get users() {
      return limit.clients.filter(({ isTransmitting }) => isTransmitting).length;
    },
    close: () => (closed ??= close(listener, limit, device, closeTimeout)),
  };
}

async function close(
  listener: Listener,
  limit: ClientLimit<Connection>,
  device: BlockDevice,
  timeout: number,
): Promise<void> {
  const unused = listener.close();
  const connections = limit.clients;
  for (const client of limit.refused) client.destroy();
  for (const connection of connections) connection.stop();
  let late: NodeJS.Timeout | undefined;
  await Promise.race([
    Promise.all(connections.map(({ done }) => done)),
    new Promise<void>((resolve) => (late = setTimeout(resolve, timeout))),
  ]);
  clearTimeout(late);
  for (const connection of connections) connection.destroy();
  await unused;
  if (device.isReady) await device.flush();
}

// ── options ──────────────────────────────────────────────────────────────────

const OP = 'nbd.serve';

function requireString(what: string, value: string): void {
  if (typeof value !== 'string' || value.includes('\0') || Buffer.byteLength(value) > MAX_STRING) {
    throw new CompcacheError('EINVAL', OP, `${what} must be a string of at most ${MAX_STRING} bytes without NUL`);
  }
}

function takeEndpoint({ socket, port, bind }: NbdServerOptions): Endpoint {
  if ((socket === undefined) === (port === undefined))
    throw new CompcacheError('EINVAL', OP, 'either socket or port must be given');
  if (port === undefined) {
    if (bind !== undefined) throw new CompcacheError('EINVAL', OP, 'bind can only be given with a port');
    requireSocketPath(OP, socket);
    return { path: socket };
  }
  if (!Number.isInteger(port) || port < 0 || port > 65535)
    throw new CompcacheError('EINVAL', OP, `port must be a whole number from 0 to 65535, not ${String(port)}`);
  if (bind !== undefined && (typeof bind !== 'string' || bind === ''))
    throw new CompcacheError('EINVAL', OP, `bind must be an address`);
  return { host: bind ?? LOOPBACK, port };
}

function uriOf(endpoint: Endpoint, exportName: string): string {
  const name = encodeURIComponent(exportName);
  if ('path' in endpoint)
    return `nbd+unix:///${name}?socket=${encodeURIComponent(endpoint.path).replaceAll('%2F', '/')}`;
  const host = endpoint.host.includes(':') ? `[${endpoint.host}]` : endpoint.host;
  return `nbd://${host}:${endpoint.port}/${name}`;
}
