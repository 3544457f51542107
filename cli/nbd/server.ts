/**
 * An NBD server for one block device: fixed newstyle, simple replies, several connections.
 *
 * It listens on a Unix socket (mode 0600) or on a TCP port, of the loopback address unless told otherwise. There is no
 * authentication and no TLS: who can connect can read and write everything.
 *
 * There are at most `maxConnections`, and all of them together hold 160 MiB of payload at most, whatever their clients do
 * (requests.ts). Who comes when all places are taken gets that of a client that has not chosen the export yet (client-limit.ts).
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
  /** The name that clients may ask for; the empty name, the default export, always works. */
  exportName?: string;
  /** Shown to people who list the exports. */
  description?: string;
  /** The path of a Unix socket. Either this or `port`. */
  socket?: string;
  /** A TCP port; 0 for any that is free. */
  port?: number;
  /** The address of the port; 127.0.0.1 unless given. */
  bind?: string;
  /** 64 unless given. When so many have chosen the export, those who come are told that there is no place. */
  maxConnections?: number;
  /** Milliseconds that a client may take to choose the export; 10,000 unless given. */
  negotiationTimeout?: number;
  /** Milliseconds that a client may stop in the middle of a request or leave replies unread; 60,000 unless given. */
  stallTimeout?: number;
  /** Milliseconds that `close` waits for requests under way; 5,000 unless given. */
  closeTimeout?: number;
  /** Hears of faults of this program: errors of the device that are no CompcacheError, connections that could not be taken. */
  report?: (error: unknown) => void;
}

export interface NbdServer {
  readonly address: Endpoint;
  /** Whether only this machine can reach it. */
  readonly isLocal: boolean;
  /** For NBD clients. */
  readonly uri: string;
  /** Clients that are connected. */
  readonly connections: number;
  /** Clients that have chosen the export: who would notice if the device were another. */
  readonly users: number;
  /**
   * Ends: takes no more connections, removes the socket file, answers the requests that have arrived, closes the connections,
   * flushes the device. Throws what flushing throws. Calling it again gives the same promise.
   */
  close(): Promise<void>;
}

/** Serves a device until it is closed. */
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
  const refusal = `all ${maxConnections} places are taken: no more clients can use this device now`;
  const places = new ClientLimit<Connection>(maxConnections);
  const listener = await listen(
    OP,
    takeEndpoint(options),
    (socket) => {
      places.admit(
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
      return places.guests.filter(({ isConnected }) => isConnected).length;
    },
    get users() {
      return places.guests.filter(({ isTransmitting }) => isTransmitting).length;
    },
    close: () => (closed ??= close(listener, places, device, closeTimeout)),
  };
}

async function close(
  listener: Listener,
  places: ClientLimit<Connection>,
  device: BlockDevice,
  timeout: number,
): Promise<void> {
  const unused = listener.close();
  const connections = places.guests;
  for (const newcomer of places.turnedAway) newcomer.destroy();
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
    if (bind !== undefined) throw new CompcacheError('EINVAL', OP, 'bind is for a port');
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
