/**
 * The control socket: requests to the process that serves a device, on a Unix socket beside its own.
 *
 *   request   {"op":"stats","args":{…}} and a line feed; `args` may be missing
 *   reply     {"ok":true,"result":…} or {"ok":false,"code":"EBUSY","message":"…"} and a line feed
 *
 * UTF-8. The requests of a connection are answered in their order, one at a time. A line that is no request is answered EINVAL;
 * after one that is too long the connection ends, as it does after a minute without a request. A client that does not read
 * its replies is not read.
 */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { CompcacheError, type ErrorCode } from '../../bindings/index.ts';
import { listen, requireSocketPath } from './listener.ts';
import { endSocket, send } from './send.ts';

const MAX_LINE = 64 * 1024;
const MAX_REPLY = 16 * 2 ** 20;
const MAX_CONNECTIONS = 16;
const IDLE_MS = 60_000;
const CLOSE_MS = 5000; // for the requests under way
const LINE_FEED = 10;

/** Answers one kind of request. What it gives must be JSON; a CompcacheError that it throws goes to the client. */
export type ControlHandler = (args: Record<string, unknown>) => unknown;

export interface ControlServerOptions {
  /** The path of the Unix socket. */
  path: string;
  handlers: Readonly<Record<string, ControlHandler>>;
  /** Milliseconds that a client may be idle; 60,000 unless given. */
  idleTimeout?: number;
  /** Hears of faults that are no CompcacheError; the client only hears EIO. */
  report?: (error: unknown) => void;
}

export interface ControlServer {
  readonly path: string;
  /** Removes the socket file, lets the requests under way end and closes the connections. */
  close(): Promise<void>;
}

type Answer = { ok: true; result?: unknown } | { ok: false; code: ErrorCode; message: string };

// ── server ───────────────────────────────────────────────────────────────────

/** Serves requests until it is closed. */
export async function serveControl({ path, handlers, idleTimeout = IDLE_MS, report = () => {} }: ControlServerOptions): Promise<ControlServer> {
  const op = 'control.serve';
  requireSocketPath(op, path);
  const conversations = new Set<Conversation>();
  const listener = await listen(op, { path }, MAX_CONNECTIONS, (socket) => {
    const conversation = new Conversation(socket, handlers, idleTimeout, report);
    conversations.add(conversation);
    void conversation.done.then(() => conversations.delete(conversation));
  }, report);
  let closed: Promise<void> | undefined;
  return {
    path,
    close() {
      return (closed ??= (() => {
        const unused = listener.close();
        for (const conversation of conversations) conversation.stop();
        const late = setTimeout(() => conversations.forEach((conversation) => conversation.destroy()), CLOSE_MS);
        return unused.finally(() => clearTimeout(late));
      })());
    },
  };
}

/** One client of the control socket. */
class Conversation {
  readonly done: Promise<void>;
  readonly #socket: Socket;
  #isBusy = false;
  #isStopping = false;

  constructor(socket: Socket, handlers: Readonly<Record<string, ControlHandler>>, idleTimeout: number, report: (error: unknown) => void) {
    this.#socket = socket;
    socket.on('error', () => {}); // 'close' follows
    socket.on('timeout', () => {
      if (!this.#isBusy || socket.writableLength > 0) socket.destroy();
    });
    socket.setTimeout(idleTimeout);
    this.done = this.#run(handlers, report);
  }

  /** Ends it after the request that is under way. */
  stop(): void {
    this.#isStopping = true;
    if (!this.#isBusy) this.#socket.destroy();
  }

  /** Ends it now. */
  destroy(): void {
    this.#socket.destroy();
  }

  async #run(handlers: Readonly<Record<string, ControlHandler>>, report: (error: unknown) => void): Promise<void> {
    try {
      for await (const line of lines(this.#socket, MAX_LINE)) {
        this.#isBusy = true;
        const answer = line === undefined ? refusal('EINVAL', `a request may have ${MAX_LINE} bytes`) : await respond(line, handlers, report);
        await send(this.#socket, encode(answer, report));
        this.#isBusy = false;
        if (line === undefined || this.#isStopping) break;
      }
    } catch {
      this.#socket.destroy(); // it broke
    }
    await endSocket(this.#socket);
  }
}

/** The lines that come, without their ends; undefined, and nothing more, for one that is too long. */
async function* lines(socket: Socket, max: number): AsyncGenerator<Buffer | undefined> {
  let rest: Buffer[] = [];
  let length = 0;
  for await (const chunk of socket.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    let from = 0;
    for (let end = chunk.indexOf(LINE_FEED); end !== -1; end = chunk.indexOf(LINE_FEED, from)) {
      const line = Buffer.concat([...rest, chunk.subarray(from, end)]);
      rest = [];
      length = 0;
      from = end + 1;
      yield line.length > max ? undefined : line;
    }
    rest.push(chunk.subarray(from));
    length += chunk.length - from;
    if (length > max) yield undefined;
  }
}

async function respond(line: Buffer, handlers: Readonly<Record<string, ControlHandler>>, report: (error: unknown) => void): Promise<Answer> {
  const request = parseObject(line);
  if (request === undefined) return refusal('EINVAL', 'a request must be a line with a JSON object');
  const { op, args = {} } = request;
  if (typeof op !== 'string' || !Object.hasOwn(handlers, op)) return refusal('EINVAL', `op must be one of ${Object.keys(handlers).join(', ')}`);
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

/** The message without what CompcacheError has put around it, and will again at the client. */
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

/**
 * Asks the server behind a control socket for one thing.
 * @param timeout milliseconds for all of it; 30,000 unless given
 * @returns the result
 * @throws what the server answered, as a CompcacheError of `control.<op>`; ENODEV when nobody listens there; EIO when the
 *   server goes, answers nonsense or does not answer
 */
export async function askControl(path: string, op: string, args: Record<string, unknown> = {}, { timeout = 30_000 } = {}): Promise<unknown> {
  const name = `control.${op}`;
  requireSocketPath(name, path);
  const request = Buffer.from(`${JSON.stringify({ op, args })}\n`);
  const socket = connect({ path }).on('error', () => {}); // whoever waits for it hears of it
  const broke = (why: string, cause?: unknown): CompcacheError => new CompcacheError('EIO', name, `${why}: ${path}`, { cause });
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    socket.destroy(new Error('timed out'));
  }, timeout);
  try {
    await once(socket, 'connect');
    await send(socket, request);
    for await (const line of lines(socket, MAX_REPLY)) return resultOf(name, line && parseObject(line), broke);
    throw broke(late ? 'the server did not answer in time' : 'the server went without an answer');
  } catch (error) {
    if (error instanceof CompcacheError) throw error;
    const { code } = error as NodeJS.ErrnoException;
    if (late) throw broke('the server did not answer in time', error);
    if (code === 'ENOENT' || code === 'ECONNREFUSED') throw new CompcacheError('ENODEV', name, `no server listens on ${path}`, { cause: error });
    throw broke('talking to the server failed', error);
  } finally {
    clearTimeout(timer);
    socket.destroy();
  }
}

const CODES: ReadonlySet<string> = new Set<ErrorCode>(['EINVAL', 'ENOMEM', 'ENOSPC', 'ENOENT', 'EEXIST', 'EAGAIN', 'EBUSY', 'EIO', 'ERANGE', 'ENODEV', 'EUCLEAN', 'ECLOSED']);

function resultOf(name: string, answer: Record<string, unknown> | undefined, broke: (why: string) => CompcacheError): unknown {
  if (answer?.ok === true) return answer.result;
  if (answer?.ok !== false || typeof answer.code !== 'string' || typeof answer.message !== 'string') throw broke('the server answered nonsense');
  throw new CompcacheError(CODES.has(answer.code) ? (answer.code as ErrorCode) : 'EIO', name, answer.message);
}
