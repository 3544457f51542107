/**
 * What a client has sent and nobody has looked at yet. It holds little: once it is full the socket is not read, and the
 * client has to wait.
 */
import type { Socket } from 'node:net';

const FULL = 64 * 1024;
/** A client that is to go has said all when it has been silent for so long. */
const QUIET_MS = 50;

export class Inbox {
  readonly #socket: Socket;
  readonly #chunks: Buffer[] = [];
  #bytes = 0;
  #ended = false;
  #taken = 0;
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

  /** A new message begins with the next byte. */
  begin(): void {
    this.#taken = 0;
  }

  /** Whether somebody waits for the rest of a message. */
  get isMidway(): boolean {
    return this.#wake !== undefined && this.#taken > 0;
  }

  /** Fills an array; false when the client has gone before. */
  async fill(into: Uint8Array): Promise<boolean> {
    for (let at = 0; at < into.length; ) {
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
    for (let left = length; left > 0; ) {
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
    while (this.#bytes === 0) {
      if (this.#ended) return undefined;
      this.#socket.resume();
      if (this.#isStopping) this.#endIfQuiet();
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
    const first = this.#chunks[0] as Buffer;
    const piece = first.subarray(0, most);
    if (piece.length === first.length) this.#chunks.shift();
    else this.#chunks[0] = first.subarray(piece.length);
    this.#bytes -= piece.length;
    this.#taken += piece.length;
    return piece;
  }

  #put(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
    if (this.#bytes >= FULL) this.#socket.pause();
    this.#wakeUp();
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
    this.#bytes = 0;
    this.#end();
  }

  #wakeUp(): void {
    clearTimeout(this.#quiet);
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  }
}
