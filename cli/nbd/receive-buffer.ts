/**
 * The bytes that a client has sent and that were not read yet. The buffer is small: when it is full, the socket is
 * paused and the client has to wait. Each chunk counts with the memory that it holds. Small chunks are merged, so that
 * many tiny packets cost no more than a few large ones.
 */
import type { Socket } from 'node:net';

const FULL = 64 * 1024;
/** The memory of a chunk besides its bytes: the objects around them. */
const CHUNK_COST = 512;
/** Chunks below this size are merged into blocks of this size. */
const BLOCK = 4096;
/** After stop(), a client that was silent for this time is assumed to have sent everything. */
const QUIET_MS = 50;

interface Chunk {
  bytes: Buffer;
  /** The bytes from `from` to `to` were not read yet. */
  from: number;
  to: number;
}

export class ReceiveBuffer {
  readonly #socket: Socket;
  readonly #chunks: Chunk[] = [];
  #held = 0;
  #ended = false;
  #isBegun = false;
  #begunAt = 0;
  #heardAt = performance.now();
  #isStopping = false;
  #quiet: NodeJS.Timeout | undefined;
  #wake: (() => void) | undefined;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', (chunk: Buffer) => this.#put(chunk));
    socket.on('end', () => this.#end());
    // After a connection has failed, its unread bytes are useless.
    socket.on('close', () => this.#drop());
  }

  /** When the last bytes of the client arrived (performance.now()). */
  get heardAt(): number {
    return this.#heardAt;
  }

  /** The next byte begins a new message. */
  begin(): void {
    this.#isBegun = false;
  }

  /** Restarts the time that midwaySince returns. */
  goOn(): void {
    this.#begunAt = performance.now();
  }

  /** When the current message began, while a reader waits for the rest of it. Otherwise undefined. */
  get midwaySince(): number | undefined {
    return this.#wake !== undefined && this.#isBegun ? this.#begunAt : undefined;
  }

  /** Fills an array. False when the client has gone before. */
  async fill(into: Uint8Array): Promise<boolean> {
    for (let at = 0; at < into.length;) {
      const part = await this.#take(into.length - at);
      if (part === undefined) return false;
      into.set(part, at);
      at += part.length;
    }
    return true;
  }

  /** The next bytes. Undefined when the client has gone before. */
  async next(length: number): Promise<Buffer | undefined> {
    const bytes = Buffer.allocUnsafe(length);
    return (await this.fill(bytes)) ? bytes : undefined;
  }

  /** Skips bytes. False when the client has gone before. */
  async skip(length: number): Promise<boolean> {
    for (let left = length; left > 0;) {
      const part = await this.#take(left);
      if (part === undefined) return false;
      left -= part.length;
    }
    return true;
  }

  /**
   * Ends when the client falls silent. Everything that it has sent before can still be read, even if it has not arrived
   * yet.
   */
  stop(): void {
    this.#isStopping = true;
    if (this.#wake !== undefined) this.#endIfQuiet();
  }

  async #take(most: number): Promise<Buffer | undefined> {
    while (this.#chunks.length === 0) {
      if (this.#ended) return undefined;
      this.#socket.resume();
      if (this.#isStopping) this.#endIfQuiet();
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
    const first = this.#chunks[0] as Chunk;
    const part = first.bytes.subarray(first.from, Math.min(first.to, first.from + most));
    first.from += part.length;
    if (first.from === first.to) {
      this.#chunks.shift();
      this.#held -= costOf(first);
    }
    if (!this.#isBegun) {
      this.#isBegun = true;
      this.#begunAt = performance.now();
    }
    return part;
  }

  #put(bytes: Buffer): void {
    this.#heardAt = performance.now();
    if (bytes.length >= BLOCK || this.#chunks.length === 0) this.#push({ bytes, from: 0, to: bytes.length });
    else this.#append(bytes);
    if (this.#held >= FULL) this.#socket.pause();
    this.#wakeUp();
  }

  /** Copies a small chunk into the last block if there is room, or else into a new block. */
  #append(bytes: Buffer): void {
    let last = this.#chunks.at(-1) as Chunk;
    if (last.bytes.length - last.to < bytes.length) {
      last = { bytes: Buffer.allocUnsafeSlow(BLOCK), from: 0, to: 0 };
      this.#push(last);
    }
    last.bytes.set(bytes, last.to);
    last.to += bytes.length;
  }

  #push(chunk: Chunk): void {
    this.#chunks.push(chunk);
    this.#held += costOf(chunk);
  }

  #endIfQuiet(): void {
    clearTimeout(this.#quiet);
    this.#quiet = setTimeout(() => this.#end(), QUIET_MS);
  }

  #end(): void {
    this.#ended = true;
    this.#wakeUp();
  }

  #drop(): void {
    this.#chunks.length = 0;
    this.#held = 0;
    this.#end();
  }

  #wakeUp(): void {
    clearTimeout(this.#quiet);
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  }
}

function costOf({ bytes }: Chunk): number {
  return bytes.buffer.byteLength + CHUNK_COST;
}
