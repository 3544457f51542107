/**
 * What a client has sent and nobody has looked at yet. It holds little: once it is full the socket is not read, and the
 * client has to wait. Chunks count by the memory that they hold, and small ones are put together, so that many tiny packets
 * cost no more than a few large ones.
 */
import type { Socket } from 'node:net';

const FULL = 64 * 1024;
/** What a chunk costs besides its bytes: the objects around them. */
const CHUNK_COST = 512;
/** Chunks below this size are put together in blocks of this size. */
const BLOCK = 4096;
/** A client that is to go has said all when it has been silent for so long. */
const QUIET_MS = 50;

interface Chunk {
  bytes: Buffer;
  /** What of it is still to be taken. */
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
    // What a connection that broke has left behind is of no use.
    socket.on('close', () => this.#drop());
  }

  /** When the client was last heard of. */
  get heardAt(): number {
    return this.#heardAt;
  }

  /** A new message begins with the next byte. */
  begin(): void {
    this.#isBegun = false;
  }

  /** The rest of the message is waited for from now on. */
  goOn(): void {
    this.#begunAt = performance.now();
  }

  /** Since when somebody has waited for the rest of a message. */
  get midwaySince(): number | undefined {
    return this.#wake !== undefined && this.#isBegun ? this.#begunAt : undefined;
  }

  /** Fills an array; false when the client has gone before. */
  async fill(into: Uint8Array): Promise<boolean> {
    for (let at = 0; at < into.length;) {
      const piece = await this.#take(into.length - at);
      if (piece === undefined) return false;
      into.set(piece, at);
      at += piece.length;
    }
    return true;
  }

  /** The next bytes, or undefined when the client has gone before. */
  async next(length: number): Promise<Buffer | undefined> {
    const bytes = Buffer.allocUnsafe(length);
    return (await this.fill(bytes)) ? bytes : undefined;
  }

  /** Throws bytes away; false when the client has gone before. */
  async skip(length: number): Promise<boolean> {
    for (let left = length; left > 0;) {
      const piece = await this.#take(left);
      if (piece === undefined) return false;
      left -= piece.length;
    }
    return true;
  }

  /** Ends with the first silence: what the client has sent already, on its way or not, can still be taken. */
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
    const piece = first.bytes.subarray(first.from, Math.min(first.to, first.from + most));
    first.from += piece.length;
    if (first.from === first.to) {
      this.#chunks.shift();
      this.#held -= costOf(first);
    }
    if (!this.#isBegun) {
      this.#isBegun = true;
      this.#begunAt = performance.now();
    }
    return piece;
  }

  #put(bytes: Buffer): void {
    this.#heardAt = performance.now();
    if (bytes.length >= BLOCK || this.#chunks.length === 0) this.#push({ bytes, from: 0, to: bytes.length });
    else this.#append(bytes);
    if (this.#held >= FULL) this.#socket.pause();
    this.#wakeUp();
  }

  /** Puts a small chunk into the last block if there is room, or into a new one. */
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
