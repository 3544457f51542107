/**
 * One NBD client, from its connection to its end.
 *
 * Requests are read one after the other, and each is answered when it is done. A request is cut into parts for the
 * device, at multiples of the part's size, so that a long request does not make other clients wait. A write reaches the
 * device only when its payload is complete: a client that disconnects in the middle has written nothing.
 *
 * The negotiation has a time limit. Before a client has chosen the export, another client may replace it. After that it
 * may be idle without limit. A client that stops in the middle of a request, or does not read its replies, is dropped
 * after `stallTimeout`. A client that sends or reads only a few bytes from time to time is dropped when one request or
 * reply takes ten times as long.
 */
import type { Socket } from 'node:net';
import { CompcacheError } from '../../bindings/index.ts';
import { TimeSlice } from './time-slice.ts';
import type { BlockDevice } from './device.ts';
import { Requests, type Budget } from './requests.ts';
import { ReceiveBuffer } from './receive-buffer.ts';
import { negotiate, type Export } from './negotiation.ts';
import {
  BLOCK_SIZE,
  COMMAND,
  COMMAND_FLAG,
  NBD_ERROR,
  REPLY_BYTES,
  REQUEST_BYTES,
  makeReply,
  nbdErrorOf,
  parseRequest,
  type NbdError,
  type Request,
} from './protocol.ts';
import type { LimitedClient } from './client-limit.ts';
import { endSocket } from './send.ts';

/** The most bytes of one call of the device. */
const DATA_PART = 2 ** 20;
const AREA_PART = 16 * 2 ** 20;
/** The most time for the rest of a request, or for a reply, as a multiple of `stallTimeout`. */
const PATIENCE = 10;
const KEEP_ALIVE_MS = 60_000;

/** The flags that each command may have. FUA is allowed with every command. */
const FLAGS: Record<number, number> = {
  [COMMAND.READ]: COMMAND_FLAG.FUA,
  [COMMAND.WRITE]: COMMAND_FLAG.FUA,
  [COMMAND.FLUSH]: COMMAND_FLAG.FUA,
  [COMMAND.TRIM]: COMMAND_FLAG.FUA,
  [COMMAND.WRITE_ZEROES]: COMMAND_FLAG.FUA | COMMAND_FLAG.NO_HOLE | COMMAND_FLAG.FAST_ZERO,
};

export interface ConnectionOptions {
  offered: Export;
  /** The budget that all connections share. */
  budget: Budget;
  /**
   * The reason why this client cannot have the export, if there is one. The client gets this text, and its connection
   * ends.
   */
  refusal?: string;
  /** Milliseconds. */
  negotiationTimeout: number;
  stallTimeout: number;
  /** Called with errors of this program itself. */
  report: (error: unknown) => void;
}

export class Connection implements LimitedClient {
  /** Resolves when the connection is closed and none of its requests is under way. */
  readonly done: Promise<void>;
  readonly #socket: Socket;
  readonly #received: ReceiveBuffer;
  readonly #device: BlockDevice;
  readonly #options: ConnectionOptions;
  readonly #requests: Requests;
  readonly #slice = new TimeSlice();
  #hasChosen = false;
  #exportSize: number | undefined;
  /** When the kernel last took a reply; or when the first reply that waits now was sent. */
  #repliedAt = 0;
  #isStopping = false;

  constructor(socket: Socket, options: ConnectionOptions) {
    this.#socket = socket;
    this.#options = options;
    this.#device = options.offered.device;
    this.#requests = new Requests(options.budget);
    socket.on('error', () => {}); // 'close' follows
    socket.on('close', () => this.#requests.close());
    socket.setNoDelay(true);
    socket.setKeepAlive(true, KEEP_ALIVE_MS);
    this.#received = new ReceiveBuffer(socket);
    this.done = this.#run();
  }

  get isConnected(): boolean {
    return !this.#socket.destroyed;
  }

  /** True when the client has chosen the export and is connected. */
  get isTransmitting(): boolean {
    return this.#exportSize !== undefined && this.isConnected;
  }

  /** Since when the client has sent nothing. Undefined when it has chosen the export. */
  get idleSince(): number | undefined {
    return this.#hasChosen ? undefined : this.#received.heardAt;
  }

  /** Ends the connection after the requests under way. Further requests are refused, because the server stops. */
  stop(): void {
    this.#isStopping = true;
    if (this.#exportSize === undefined) this.#socket.destroy();
    else this.#received.stop();
  }

  /** Ends the connection now. */
  destroy(): void {
    this.#socket.destroy();
  }

  async #run(): Promise<void> {
    try {
      this.#exportSize = await this.#negotiate();
      if (this.#exportSize !== undefined && !this.#isStopping) await this.#transmit();
    } catch (error) {
      this.#options.report(error);
      this.#socket.destroy();
    }
    await endSocket(this.#socket);
  }

  async #negotiate(): Promise<number | undefined> {
    const { offered, refusal, negotiationTimeout } = this.#options;
    const timer = setTimeout(() => this.#socket.destroy(), negotiationTimeout);
    try {
      return await negotiate({
        socket: this.#socket,
        received: this.#received,
        offered,
        refusal,
        chosen: () => (this.#hasChosen = true),
      });
    } finally {
      clearTimeout(timer);
    }
  }

  // ── transmission ───────────────────────────────────────────────────────────

  async #transmit(): Promise<void> {
    const socket = this.#socket;
    const { stallTimeout } = this.#options;
    // This timer restarts with every byte that is sent or received.
    socket.on('timeout', () => {
      if (this.#unfinishedSince !== undefined) socket.destroy();
    });
    socket.setTimeout(stallTimeout);
    const timer = setInterval(() => {
      if (performance.now() - (this.#unfinishedSince ?? Infinity) > PATIENCE * stallTimeout) socket.destroy();
    }, stallTimeout);
    try {
      while (await this.#nextRequest()) await this.#slice.yield();
      await this.#requests.finished();
    } finally {
      clearInterval(timer);
    }
  }

  /** Since when the client has not completed a request, or has not read a reply. Undefined when neither is the case. */
  get #unfinishedSince(): number | undefined {
    return this.#received.midwaySince ?? (this.#socket.writableLength > 0 ? this.#repliedAt : undefined);
  }

  /** Reads a request and starts it. False when no other request will come. */
  async #nextRequest(): Promise<boolean> {
    this.#received.begin();
    const header = await this.#received.next(REQUEST_BYTES);
    const request = header && parseRequest(header);
    // The end of an invalid request cannot be found, so the connection ends.
    if (request === undefined || request.command === COMMAND.DISC) return false;
    const refused = this.#refusal(request);
    const bytes = refused === NBD_ERROR.NONE && hasPayload(request) ? request.length : 0;
    if (!(await this.#requests.enter(bytes))) return false;
    const payload = await this.#takePayload(request, refused);
    if (payload === undefined) {
      this.#requests.leave(bytes);
      return false;
    }
    void this.#answer(request, refused, payload).finally(() => this.#requests.leave(bytes));
    return true;
  }

  /**
   * The payload of a write. It is skipped when the request is refused. Empty for other requests; undefined when the
   * client has gone.
   */
  async #takePayload({ command, length }: Request, refused: NbdError): Promise<Uint8Array | undefined> {
    if (command !== COMMAND.WRITE) return NOTHING;
    this.#received.goOn();
    if (refused !== NBD_ERROR.NONE) return (await this.#received.skip(length)) ? NOTHING : undefined;
    const payload = Buffer.allocUnsafeSlow(length);
    return (await this.#received.fill(payload)) ? payload : undefined;
  }

  /** The error of an invalid request. NONE for a valid one. */
  #refusal(request: Request): NbdError {
    const { command, flags, length, offset } = request;
    const allowed = FLAGS[command];
    if (allowed === undefined || (flags & ~allowed) !== 0) return NBD_ERROR.INVAL;
    if (this.#isStopping) return NBD_ERROR.SHUTDOWN;
    if (hasPayload(request) && length > BLOCK_SIZE.MAXIMUM) return NBD_ERROR.INVAL;
    if (command === COMMAND.FLUSH) return offset === 0 && length === 0 ? NBD_ERROR.NONE : NBD_ERROR.INVAL;
    try {
      if (offset + length <= this.#size()) return NBD_ERROR.NONE;
    } catch (error) {
      return this.#errorOf(error);
    }
    return command === COMMAND.WRITE || command === COMMAND.WRITE_ZEROES ? NBD_ERROR.NOSPC : NBD_ERROR.INVAL;
  }

  /** The size that the client was told, or less if the device has become smaller. */
  #size(): number {
    return Math.min(this.#exportSize as number, this.#device.size);
  }

  /** Executes a request and answers it. Never throws. */
  async #answer(request: Request, refused: NbdError, payload: Uint8Array): Promise<void> {
    let reply: Buffer;
    try {
      reply = refused === NBD_ERROR.NONE ? await this.#execute(request, payload) : makeReply(request.cookie, refused);
    } catch (error) {
      reply = makeReply(request.cookie, this.#errorOf(error));
    }
    await this.#send(reply);
  }

  /**
   * Waits until the kernel has taken the whole reply: until then the request is under way. Replies made in one tick are
   * sent together.
   */
  #send(reply: Buffer): Promise<void> {
    const socket = this.#socket;
    if (socket.writableLength === 0) this.#repliedAt = performance.now();
    if (socket.writableCorked === 0) {
      socket.cork();
      process.nextTick(() => socket.uncork());
    }
    return new Promise((resolve) => {
      socket.write(reply, () => {
        this.#repliedAt = performance.now();
        resolve();
      });
    });
  }

  async #execute(request: Request, payload: Uint8Array): Promise<Buffer> {
    const { command, cookie, flags, offset, length } = request;
    const device = this.#device;
    const reply = makeReply(cookie, NBD_ERROR.NONE, command === COMMAND.READ ? length : 0);
    switch (command) {
      case COMMAND.READ:
        await this.#inParts(request, DATA_PART, (at, from, to) =>
          device.read(at, reply.subarray(REPLY_BYTES + from, REPLY_BYTES + to)),
        );
        return reply;
      case COMMAND.WRITE:
        await this.#inParts(request, DATA_PART, (at, from, to) => device.write(at, payload.subarray(from, to)));
        break;
      case COMMAND.TRIM:
        await this.#inParts(request, AREA_PART, (at, from, to) => device.trim(at, to - from));
        break;
      case COMMAND.WRITE_ZEROES: {
        const mayTrim = (flags & COMMAND_FLAG.NO_HOLE) === 0;
        if ((flags & COMMAND_FLAG.FAST_ZERO) !== 0 && !isFast(offset, length, mayTrim))
          return makeReply(cookie, NBD_ERROR.NOTSUP);
        await this.#inParts(request, AREA_PART, (at, from, to) => device.writeZeroes(at, to - from, mayTrim));
        break;
      }
    }
    if (command === COMMAND.FLUSH || (flags & COMMAND_FLAG.FUA) !== 0) await device.flush();
    return reply;
  }

  /** Calls `step` for each part of a request, with the offset in the device, and the begin and end in the request. */
  async #inParts(
    { offset, length }: Request,
    part: number,
    step: (at: number, from: number, to: number) => void | Promise<void>,
  ): Promise<void> {
    for (let from = 0; from < length;) {
      const at = offset + from;
      const to = Math.min(length, from + part - (at % part));
      const pending = step(at, from, to);
      if (pending !== undefined) await pending;
      from = to;
      if (from < length) await this.#slice.yield();
    }
  }

  #errorOf(error: unknown): NbdError {
    if (!(error instanceof CompcacheError)) this.#options.report(error);
    return nbdErrorOf(error);
  }
}

const NOTHING = new Uint8Array(0);

function hasPayload({ command }: Request): boolean {
  return command === COMMAND.READ || command === COMMAND.WRITE;
}

/** True when zeroing is faster than writing zeroes: when whole pages can be dropped. */
function isFast(offset: number, length: number, mayTrim: boolean): boolean {
  return mayTrim && offset % BLOCK_SIZE.PREFERRED === 0 && length % BLOCK_SIZE.PREFERRED === 0;
}
