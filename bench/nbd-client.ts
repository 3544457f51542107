/** An NBD client with one request at a time. It measures single requests without the overhead of other clients. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

const GREETING_BYTES = 18;
const FIXED_NO_ZEROES = 3;
const EXPORT_NAME = 1;
const EXPORT_BYTES = 10;
const REPLY_BYTES = 16;
const COMMANDS = { read: 0, write: 1, trim: 4 } as const;

export class NbdClient {
  readonly #socket: Socket;
  #chunks: Buffer[] = [];
  #bytes = 0;
  #wanted = Infinity;
  #come: (() => void) | undefined;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', (chunk: Buffer) => {
      this.#chunks.push(chunk);
      this.#bytes += chunk.length;
      if (this.#bytes >= this.#wanted) this.#come?.();
    });
  }

  /** Connects to the default export of a server on a Unix socket. */
  static async open(path: string): Promise<NbdClient> {
    const socket = connect({ path });
    await once(socket, 'connect');
    const client = new NbdClient(socket);
    await client.#receive(GREETING_BYTES);
    const option = Buffer.alloc(20);
    option.writeUInt32BE(FIXED_NO_ZEROES, 0);
    option.write('IHAVEOPT', 4, 'latin1');
    option.writeUInt32BE(EXPORT_NAME, 12);
    socket.write(option);
    await client.#receive(EXPORT_BYTES);
    return client;
  }

  async read(offset: number, length: number): Promise<Buffer> {
    this.#send('read', offset, length);
    return (await this.#receive(REPLY_BYTES + length)).subarray(REPLY_BYTES);
  }

  async write(offset: number, bytes: Uint8Array): Promise<void> {
    this.#send('write', offset, bytes.length, bytes);
    await this.#receive(REPLY_BYTES);
  }

  async trim(offset: number, length: number): Promise<void> {
    this.#send('trim', offset, length);
    await this.#receive(REPLY_BYTES);
  }

  close(): void {
    this.#socket.destroy();
  }

  #send(command: keyof typeof COMMANDS, offset: number, length: number, payload?: Uint8Array): void {
    const header = Buffer.alloc(28);
    header.writeUInt32BE(0x25609513, 0);
    header.writeUInt16BE(COMMANDS[command], 6);
    header.writeBigUInt64BE(BigInt(offset), 16);
    header.writeUInt32BE(length, 24);
    this.#socket.write(header);
    if (payload !== undefined) this.#socket.write(payload);
  }

  async #receive(length: number): Promise<Buffer> {
    if (this.#bytes < length) {
      await new Promise<void>((resolve) => {
        this.#wanted = length;
        this.#come = resolve;
      });
    }
    const all = Buffer.concat(this.#chunks);
    this.#chunks = [all.subarray(length)];
    this.#bytes -= length;
    this.#wanted = Infinity;
    if (length >= REPLY_BYTES && all.readUInt32BE(0) === 0x67446698 && all.readUInt32BE(4) !== 0)
      throw new Error(`NBD error ${all.readUInt32BE(4)}`);
    return all.subarray(0, length);
  }
}
