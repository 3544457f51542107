/**
 * The control socket: requests to the process that serves a device, on a second Unix socket.
 *
 *   request   {"op":"stats","args":{…}} and a line feed; `args` may be missing
 *   reply     {"ok":true,"result":…} or {"ok":false,"code":"EBUSY","message":"…"} and a line feed
 *
 * The text is UTF-8. The requests of a connection are answered one at a time, in order. A line that is not a valid
 * request gets EINVAL. The connection ends after a line that is too long, when a request is not complete after a
 * minute, and when the client has not read an answer after a minute. While a client does not read its replies, its
 * requests are not read.
 *
 * At most 16 clients are connected. A new client replaces the one that the server has waited for the longest. While all
 * clients have requests under way, a new client gets EBUSY at once, and its connection ends.
 */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { CompcacheError, type ErrorCode } from '../../bindings/index.ts';
import { isSocketPath, listen, requireSocketPath } from './listener.ts';
import { ClientLimit, type LimitedClient } from './client-limit.ts';
import { endSocket, send } from './send.ts';

const MAX_LINE = 64 * 1024;
const MAX_REPLY = 16 * 2 ** 20;
const MAX_CONNECTIONS = 16;
const IDLE_MS = 60_000;
const CLOSE_MS = 5000; // for the requests under way
const LINE_FEED = 10;

/**
 * Answers one kind of request. The result must be JSON. When it throws a CompcacheError, the client gets that error.
 */
export type ControlHandler = (args: Record<string, unknown>) => unknown;

export interface ControlServerOptions {
  /** The path of the Unix socket. */
  path: string;
  handlers: Readonly<Record<string, ControlHandler>>;
  /** Milliseconds that a client may take to send a request, and to read an answer. Default 60,000. */
  idleTimeout?: number;
  /** Called with errors that are not a CompcacheError. The client gets only EIO. */
  report?: (error: unknown) => void;
}

export interface ControlServer {
  readonly path: string;
  /** Removes the socket file, waits for the requests under way and closes the connections. */
  close(): Promise<void>;
}

type Answer = { ok: true; result?: unknown } | { ok: false; code: ErrorCode; message: string };

// ── server ───────────────────────────────────────────────────────────────────

/** Serves requests until close. */
export async function serveControl({
  path,
  handlers,
  idleTimeout = IDLE_MS,
  report = () => {},
}: ControlServerOptions): Promise<ControlServer> {
  const op = 'control.serve';
  requireSocketPath(op, path);
  const limit = new ClientLimit<Conversation>(MAX_CONNECTIONS);
  const listener = await listen(
    op,
    { path },
    (socket) => {
      limit.admit(
        () => new Conversation(socket, handlers, idleTimeout, report),
        () => refuse(socket),
      );
    },
    report,
  );
  let closed: Promise<void> | undefined;
  return {
    path,
    close() {
      return (closed ??= (() => {
        const unused = listener.close();
        const conversations = limit.clients;
        for (const conversation of conversations) conversation.stop();
        for (const client of limit.refused) client.destroy();
        const late = setTimeout(() => conversations.forEach((conversation) => conversation.destroy()), CLOSE_MS);
        return unused.finally(() => clearTimeout(late));
      })());
    },
  };
}

/** Tells a client that there are too many clients, and ends its connection. */
function refuse(socket: Socket): LimitedClient {
  socket.on('error', () => {}); // 'close' follows
  const answer: Answer = refusal('EBUSY', `all ${MAX_CONNECTIONS} connections are in use: ask again later`);
  return {
    done: send(socket, Buffer.from(`${JSON.stringify(answer)}\n`)).then(() => endSocket(socket)),
    idleSince: performance.now(),
    destroy: () => void socket.destroy(),
  };
}

/** One client of the control socket. */
class Conversation implements LimitedClient {
  readonly done: Promise<void>;
  readonly #socket: Socket;
  readonly #idleTimeout: number;
  /** True while a request has not been answered completely. */
  #isBusy = false;
  #isStopping = false;
  #idleSince: number | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(
    socket: Socket,
    handlers: Readonly<Record<string, ControlHandler>>,
    idleTimeout: number,
    report: (error: unknown) => void,
  ) {
    this.#socket = socket;
    this.#idleTimeout = idleTimeout;
    socket.on('error', () => {}); // 'close' follows
    socket.on('close', () => clearTimeout(this.#timer));
    this.#waitForClient();
    this.done = this.#run(handlers, report);
  }

  /**
   * Since when the server has waited for a request, or for the client to read an answer. Undefined while a request is
   * executed.
   */
  get idleSince(): number | undefined {
    return this.#idleSince;
  }

  /** Ends the connection after the request that is under way. */
  stop(): void {
    this.#isStopping = true;
    if (!this.#isBusy) this.#socket.destroy();
  }

  /** Ends the connection now. */
  destroy(): void {
    this.#socket.destroy();
  }

  /** Starts the client's time limit. Bytes that are sent or received do not extend it. */
  #waitForClient(): void {
    clearTimeout(this.#timer);
    this.#idleSince = performance.now();
    this.#timer = setTimeout(() => this.#socket.destroy(), this.#idleTimeout);
  }

  #workForClient(): void {
    clearTimeout(this.#timer);
    this.#idleSince = undefined;
  }

  async #run(handlers: Readonly<Record<string, ControlHandler>>, report: (error: unknown) => void): Promise<void> {
    try {
      for await (const line of lines(this.#socket, MAX_LINE)) {
        this.#isBusy = true;
        this.#workForClient();
        const answer =
          line === undefined
            ? refusal('EINVAL', `a request may have at most ${MAX_LINE} bytes`)
            : await respond(line, handlers, report);
        this.#waitForClient();
        await send(this.#socket, encode(answer, report));
        this.#isBusy = false;
        this.#waitForClient();
        if (line === undefined || this.#isStopping) break;
      }
    } catch {
      this.#socket.destroy(); // the connection failed
    }
    await endSocket(this.#socket);
  }
}

/** The lines from a socket, without their line feeds. Undefined, and then the end, for a line that is too long. */
async function* lines(socket: Socket, max: number): AsyncGenerator<Buffer | undefined, void, undefined> {
  const line = new Line();
  for await (const chunk of socket.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    let from = 0;
    for (let end = chunk.indexOf(LINE_FEED); end !== -1; end = chunk.indexOf(LINE_FEED, from)) {
      line.add(chunk.subarray(from, end));
      from = end + 1;
      yield line.length > max ? undefined : line.take();
    }
    line.add(chunk.subarray(from));
    if (line.length > max) yield undefined;
  }
}

/** Collects the parts of a line in one array. The time depends on the bytes, and not on the number of parts. */
class Line {
  #bytes = Buffer.alloc(0);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  add(part: Buffer): void {
    const length = this.#length + part.length;
    if (length > this.#bytes.length) {
      const larger = Buffer.allocUnsafeSlow(Math.max(length, 2 * this.#length));
      larger.set(this.#bytes.subarray(0, this.#length));
      this.#bytes = larger;
    }
    this.#bytes.set(part, this.#length);
    this.#length = length;
  }

  take(): Buffer {
    const line = this.#bytes.subarray(0, this.#length);
    this.#bytes = Buffer.alloc(0);
    this.#length = 0;
    return line;
  }
}

async function respond(
  line: Buffer,
  handlers: Readonly<Record<string, ControlHandler>>,
  report: (error: unknown) => void,
): Promise<Answer> {
  const request = parseObject(line);
  if (request === undefined) return refusal('EINVAL', 'a request must be a line with a JSON object');
  const { op, args = {} } = request;
  if (typeof op !== 'string' || !Object.hasOwn(handlers, op))
    return refusal('EINVAL', `op must be one of ${Object.keys(handlers).join(', ')}`);
  if (!isObject(args)) return refusal('EINVAL', 'args must be an object');
  try {
    return { ok: true, result: await (handlers[op] as ControlHandler)(args) };
  } catch (error) {
    if (error instanceof CompcacheError) return refusal(error.code, bareMessage(error));
    report(error);
    return refusal('EIO', 'internal error');
  }
}

function refusal(code: ErrorCode, message: string): Answer {
  return { ok: false, code, message };
}

/** The message without the call and the code, which CompcacheError adds. It adds them again at the client. */
function bareMessage({ message, op, code }: CompcacheError): string {
  const [before, after] = [`${op}: `, ` (${code})`];
  return message.startsWith(before) && message.endsWith(after) ? message.slice(before.length, -after.length) : message;
}

function encode(answer: Answer, report: (error: unknown) => void): Buffer {
  try {
    return Buffer.from(`${JSON.stringify(answer)}\n`);
  } catch (error) {
    report(error);
    return encode(refusal('EIO', 'internal error: the result is not JSON'), report);
  }
}

function parseObject(line: Buffer): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(line));
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

// ── client ───────────────────────────────────────────────────────────────────

export interface AskOptions {
  /** Milliseconds for the whole call. Default 30,000. */
  timeout?: number;
  /** A second path, used when no server listens on the first one. */
  orElse?: string;
}

/**
 * Sends one request to the server behind a control socket.
 * @returns the result
 * @throws the server's error, as a CompcacheError of `control.<op>`; ENODEV when no server listens; EIO when the server
 *   ends, sends an invalid answer, or does not answer
 */
export async function askControl(
  path: string,
  op: string,
  args: Record<string, unknown> = {},
  { timeout = 30_000, orElse }: AskOptions = {},
): Promise<unknown> {
  const name = `control.${op}`;
  const paths = orElse === undefined ? [path] : [path, orElse].filter(isSocketPath);
  if (paths.length === 0 || orElse === undefined) requireSocketPath(name, path);
  const request = Buffer.from(`${JSON.stringify({ op, args })}\n`);
  const broke = (why: string, cause?: unknown): CompcacheError =>
    new CompcacheError('EIO', name, `${why}: ${path}`, { cause });
  const late = AbortSignal.timeout(timeout);
  let socket: Socket | undefined;
  try {
    socket = await reach(paths, late);
    await send(socket, request);
    for await (const line of lines(socket, MAX_REPLY)) return resultOf(name, line && parseObject(line), broke);
    throw broke(late.aborted ? 'the server did not answer in time' : 'the server ended without an answer');
  } catch (error) {
    if (error instanceof CompcacheError) throw error;
    if (late.aborted) throw broke('the server did not answer in time', error);
    if (isNobody(error))
      throw new CompcacheError('ENODEV', name, `no server listens on ${paths.join(' or ')}`, { cause: error });
    throw broke('talking to the server failed', error);
  } finally {
    socket?.destroy();
  }
}

/** Connects to the first path that a server listens on, until the signal is aborted. */
async function reach(paths: readonly string[], signal: AbortSignal): Promise<Socket> {
  for (const [i, path] of paths.entries()) {
    const socket = connect({ path, signal }).on('error', () => {}); // `once` below gets the error too
    try {
      await once(socket, 'connect');
      return socket;
    } catch (error) {
      if (i === paths.length - 1 || !isNobody(error)) throw error;
    }
  }
  throw new RangeError('no path is given');
}

function isNobody(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === 'ENOENT' || code === 'ECONNREFUSED';
}

const CODES: ReadonlySet<string> = new Set<ErrorCode>([
  'EINVAL',
  'ENOMEM',
  'ENOSPC',
  'ENOENT',
  'EEXIST',
  'EAGAIN',
  'EBUSY',
  'EIO',
  'ERANGE',
  'ENODEV',
  'EUCLEAN',
  'ECLOSED',
]);

function resultOf(
  name: string,
  answer: Record<string, unknown> | undefined,
  broke: (why: string) => CompcacheError,
): unknown {
  if (answer?.ok === true) return answer.result;
  if (answer?.ok !== false || typeof answer.code !== 'string' || typeof answer.message !== 'string')
    throw broke('the server sent an invalid answer');
  throw new CompcacheError(CODES.has(answer.code) ? (answer.code as ErrorCode) : 'EIO', name, answer.message);
}
