/** An NBD client that can send any bytes. Numbers of the protocol are written out, because they are tested. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import type { NbdServer } from '../../cli/nbd/index.ts';

export const IHAVEOPT = Buffer.from('IHAVEOPT');
export const READ = 0,
  WRITE = 1,
  DISC = 2,
  FLUSH = 3,
  TRIM = 4,
  WRITE_ZEROES = 6;
export const FUA = 1,
  NO_HOLE = 2,
  DF = 4,
  FAST_ZERO = 16;
export const EXPORT_NAME = 1,
  ABORT = 2,
  LIST = 3,
  INFO = 6,
  GO = 7;
export const ACK = 1,
  SERVER = 2,
  REP_INFO = 3;
export const ERR_UNSUP = 0x80000001,
  ERR_POLICY = 0x80000002,
  ERR_INVALID = 0x80000003,
  ERR_UNKNOWN = 0x80000006,
  ERR_TOO_BIG = 0x80000009;

const DEADLINE_MS = 20_000;

export function u16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(value);
  return bytes;
}

export function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

export function u64(value: number | bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(value));
  return bytes;
}

export function optionBytes(option: number, data: Uint8Array = new Uint8Array(0), length = data.length): Buffer {
  return Buffer.concat([IHAVEOPT, u32(option), u32(length), data]);
}

/** The data of NBD_OPT_INFO and NBD_OPT_GO. */
export function infoData(name: string, ...asked: number[]): Buffer {
  const bytes = Buffer.from(name);
  return Buffer.concat([u32(bytes.length), bytes, u16(asked.length), ...asked.map(u16)]);
}

export interface RequestBytes {
  command: number;
  offset?: number | bigint;
  length?: number;
  flags?: number;
  cookie?: bigint;
  magic?: number;
  payload?: Uint8Array;
}

export function requestBytes({
  command,
  offset = 0,
  payload = new Uint8Array(0),
  length = payload.length,
  flags = 0,
  cookie = 7n,
  magic = 0x25609513,
}: RequestBytes): Buffer {
  return Buffer.concat([u32(magic), u16(flags), u16(command), u64(cookie), u64(offset), u32(length), payload]);
}

export interface OptionReply {
  option: number;
  type: number;
  data: Buffer;
}

export class RawClient {
  readonly socket: Socket;
  #received: Buffer[] = [];
  #bytes = 0;
  #isOver = false;
  #wake: (() => void) | undefined;

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (chunk: Buffer) => {
      this.#received.push(chunk);
      this.#bytes += chunk.length;
      this.#wake?.();
    });
    const over = (): void => {
      this.#isOver = true;
      this.#wake?.();
    };
    socket.on('end', over).on('close', over).on('error', over);
  }

  static async connect({ address }: Pick<NbdServer, 'address'>): Promise<RawClient> {
    const socket = connect(address);
    await once(socket, 'connect');
    return new RawClient(socket);
  }

  /** Connects and sends the client flags. */
  static async greeted(server: Pick<NbdServer, 'address'>, flags = 3): Promise<RawClient> {
    const client = await RawClient.connect(server);
    await client.receive(18);
    client.send(u32(flags));
    return client;
  }

  /** Connects and chooses the default export. */
  static async going(server: Pick<NbdServer, 'address'>): Promise<RawClient> {
    const client = await RawClient.greeted(server);
    const replies = await client.option(GO, infoData(''));
    if (replies.at(-1)?.type !== ACK) throw new Error(`NBD_OPT_GO: ${replies.at(-1)?.type}`);
    return client;
  }

  send(...parts: Uint8Array[]): void {
    this.socket.write(Buffer.concat(parts));
  }

  async receive(length: number): Promise<Buffer> {
    await this.#until(() => this.#bytes >= length || this.#isOver);
    const all = Buffer.concat(this.#received);
    if (all.length < length) throw new Error(`the server went after ${all.length} of ${length} bytes`);
    this.#received = [all.subarray(length)];
    this.#bytes -= length;
    return all.subarray(0, length);
  }

  /** Everything that the server sends until it ends the connection. */
  async rest(): Promise<Buffer> {
    await this.#until(() => this.#isOver);
    return Buffer.concat(this.#received);
  }

  /** Sends an option. @returns its replies, up to the last one */
  async option(option: number, data?: Uint8Array): Promise<OptionReply[]> {
    this.send(optionBytes(option, data));
    return this.optionReplies();
  }

  async optionReplies(): Promise<OptionReply[]> {
    const replies: OptionReply[] = [];
    do {
      const header = await this.receive(20);
      if (header.readBigUInt64BE(0) !== 0x0003e889045565a9n) throw new Error('not the magic of an option reply');
      replies.push({
        option: header.readUInt32BE(8),
        type: header.readUInt32BE(12),
        data: await this.receive(header.readUInt32BE(16)),
      });
    } while ([SERVER, REP_INFO].includes((replies.at(-1) as OptionReply).type));
    return replies;
  }

  /** The next reply: its error, cookie, and payload for a read. */
  async reply(payload = 0): Promise<{ error: number; cookie: bigint; data: Buffer }> {
    const header = await this.receive(16);
    if (header.readUInt32BE(0) !== 0x67446698) throw new Error('not the magic of a reply');
    const error = header.readUInt32BE(4);
    return { error, cookie: header.readBigUInt64BE(8), data: await this.receive(error === 0 ? payload : 0) };
  }

  /** Sends one request. @returns the error of its reply */
  async request(request: RequestBytes): Promise<number> {
    this.send(requestBytes(request));
    return (await this.reply(request.command === READ ? request.length : 0)).error;
  }

  async read(offset: number, length: number): Promise<Buffer> {
    this.send(requestBytes({ command: READ, offset, length }));
    const { error, data } = await this.reply(length);
    if (error !== 0) throw new Error(`read: ${error}`);
    return data;
  }

  /** Ends the connection in order. */
  async disconnect(): Promise<void> {
    this.send(requestBytes({ command: DISC }));
    await this.rest();
    this.vanish();
  }

  vanish(): void {
    this.socket.destroy();
  }

  async #until(isSo: () => boolean): Promise<void> {
    let isLate = false;
    const timer = setTimeout(() => {
      isLate = true;
      this.#wake?.();
    }, DEADLINE_MS);
    while (!isSo() && !isLate) await new Promise<void>((resolve) => (this.#wake = resolve));
    clearTimeout(timer);
    if (!isSo()) throw new Error('the server says nothing');
  }
}
