/**
 * Negotiation, fixed newstyle: the client sends options one after the other, until it has chosen the export or
 * disconnects.
 *
 * There is one export. It has a name and is also the default (the empty name). While the device is not initialised,
 * there is none. Unknown options get ERR_UNSUP; TLS, structured replies and metadata contexts are unknown. The
 * connection ends when the client breaks the framing. A known option with invalid data gets an error. When there are
 * too many clients, a client that asks for the export gets ERR_POLICY with the reason as text, and the connection ends.
 */
import type { Socket } from 'node:net';
import type { BlockDevice } from './device.ts';
import type { ReceiveBuffer } from './receive-buffer.ts';
import {
  BLOCK_SIZE,
  EXPORT_FLAGS,
  HANDSHAKE,
  INFO,
  INIT_PASSWD,
  MAX_STRING,
  OPTION,
  OPTION_HEADER_BYTES,
  OPTION_MAGIC,
  OPTION_REPLY_MAGIC,
  REPLY,
  ZEROES,
} from './protocol.ts';
import { send } from './send.ts';

/** The most data of an option that is read: a name of 4096 bytes and many information requests. */
const MAX_OPTION_BYTES = 64 * 1024;
const HANDSHAKE_FLAGS = HANDSHAKE.FIXED_NEWSTYLE | HANDSHAKE.NO_ZEROES;

/** The export that the server offers. */
export interface Export {
  device: BlockDevice;
  name: string;
  description: string;
}

export interface Negotiation {
  socket: Socket;
  received: ReceiveBuffer;
  offered: Export;
  /** The reason why the client cannot have the export, if there is one. */
  refusal: string | undefined;
  /** Called when the client has chosen the export, before it is told its size. */
  chosen: () => void;
}

interface Session extends Negotiation {
  clientFlags: number;
}

interface Option {
  option: number;
  data: Buffer;
}

/** The result of an option: continue with the next option, end, or transmit an export of `size` bytes. */
type Outcome = 'next' | 'end' | { size: number };

/**
 * Negotiates with a client.
 * @returns the size of the export that the client was told, or undefined when the connection ends
 */
export async function negotiate(negotiation: Negotiation): Promise<number | undefined> {
  const { socket, received } = negotiation;
  await send(socket, u64(INIT_PASSWD), u64(OPTION_MAGIC), u16(HANDSHAKE_FLAGS));
  const flags = await received.next(4);
  if (flags === undefined) return undefined;
  const session: Session = { ...negotiation, clientFlags: flags.readUInt32BE(0) };
  if ((session.clientFlags & ~HANDSHAKE_FLAGS) !== 0) return undefined;
  for (;;) {
    const outcome = await nextOption(session);
    if (outcome === 'end') return undefined;
    if (outcome !== 'next') return outcome.size;
  }
}

async function nextOption(session: Session): Promise<Outcome> {
  const { received, clientFlags } = session;
  const header = await received.next(OPTION_HEADER_BYTES);
  if (header === undefined || header.readBigUInt64BE(0) !== OPTION_MAGIC) return 'end';
  const option = header.readUInt32BE(8);
  const length = header.readUInt32BE(12);
  // This option has no error reply. It is the only option that a client of the older newstyle may send.
  if (option === OPTION.EXPORT_NAME) return exportName(session, length);
  if ((clientFlags & HANDSHAKE.FIXED_NEWSTYLE) === 0) return 'end';
  if (length > MAX_OPTION_BYTES)
    return (await received.skip(length))
      ? refuse(session, option, isKnown(option) ? REPLY.ERR_TOO_BIG : REPLY.ERR_UNSUP)
      : 'end';
  const data = await received.next(length);
  return data === undefined ? 'end' : answer(session, { option, data });
}

function isKnown(option: number): boolean {
  return option === OPTION.ABORT || option === OPTION.LIST || option === OPTION.INFO || option === OPTION.GO;
}

function answer(session: Session, asked: Option): Promise<Outcome> {
  if (session.refusal !== undefined && isKnown(asked.option) && asked.option !== OPTION.ABORT)
    return refuseClient(session, asked.option, session.refusal);
  switch (asked.option) {
    case OPTION.ABORT:
      return abort(session);
    case OPTION.LIST:
      return list(session, asked);
    case OPTION.INFO:
      return info(session, asked);
    case OPTION.GO:
      return info(session, asked);
    default:
      return refuse(session, asked.option, REPLY.ERR_UNSUP);
  }
}

// ── the options ──────────────────────────────────────────────────────────────

async function refuseClient(session: Session, option: number, reason: string): Promise<Outcome> {
  await reply(session, option, REPLY.ERR_POLICY, Buffer.from(reason));
  return 'end';
}

async function exportName(
  { socket, received, offered, refusal, chosen, clientFlags }: Session,
  length: number,
): Promise<Outcome> {
  if (length > MAX_STRING || refusal !== undefined) return 'end';
  const name = await received.next(length);
  if (name === undefined || !isOffered(offered, name)) return 'end';
  const { size } = offered.device;
  chosen();
  const zeroes = Buffer.alloc((clientFlags & HANDSHAKE.NO_ZEROES) === 0 ? ZEROES : 0);
  await send(socket, u64(BigInt(size)), u16(EXPORT_FLAGS), zeroes);
  return { size };
}

async function abort(session: Session): Promise<Outcome> {
  await reply(session, OPTION.ABORT, REPLY.ACK);
  return 'end';
}

async function list(session: Session, { data }: Option): Promise<Outcome> {
  if (data.length > 0) return refuse(session, OPTION.LIST, REPLY.ERR_INVALID);
  const { device, name, description } = session.offered;
  const bytes = Buffer.from(name);
  if (device.isReady)
    await reply(session, OPTION.LIST, REPLY.SERVER, u32(bytes.length), bytes, Buffer.from(description));
  await reply(session, OPTION.LIST, REPLY.ACK);
  return 'next';
}

/** NBD_OPT_INFO, and NBD_OPT_GO, which also begins the transmission. */
async function info(session: Session, { option, data }: Option): Promise<Outcome> {
  const asked = parseInfo(data);
  if (asked === undefined) return refuse(session, option, REPLY.ERR_INVALID);
  const { offered } = session;
  if (!isOffered(offered, asked.name)) return refuse(session, option, REPLY.ERR_UNKNOWN);
  const { size } = offered.device;
  if (option === OPTION.GO) session.chosen();
  await reply(session, option, REPLY.INFO, u16(INFO.EXPORT), u64(BigInt(size)), u16(EXPORT_FLAGS));
  if (asked.has(INFO.NAME)) await reply(session, option, REPLY.INFO, u16(INFO.NAME), Buffer.from(offered.name));
  if (asked.has(INFO.DESCRIPTION))
    await reply(session, option, REPLY.INFO, u16(INFO.DESCRIPTION), Buffer.from(offered.description));
  if (asked.has(INFO.BLOCK_SIZE)) {
    await reply(
      session,
      option,
      REPLY.INFO,
      u16(INFO.BLOCK_SIZE),
      u32(BLOCK_SIZE.MINIMUM),
      u32(BLOCK_SIZE.PREFERRED),
      u32(BLOCK_SIZE.MAXIMUM),
    );
  }
  await reply(session, option, REPLY.ACK);
  return option === OPTION.GO ? { size } : 'next';
}

/** The name, and the information that is asked for, 16 bits each. Undefined when the lengths do not match the data. */
function parseInfo(data: Buffer): { name: Buffer; has(information: number): boolean } | undefined {
  if (data.length < 6) return undefined;
  const nameBytes = data.readUInt32BE(0);
  if (nameBytes > Math.min(MAX_STRING, data.length - 6)) return undefined;
  const count = data.readUInt16BE(4 + nameBytes);
  const from = 6 + nameBytes;
  if (data.length !== from + 2 * count) return undefined;
  return {
    name: data.subarray(4, 4 + nameBytes),
    has: (information) =>
      Array.from({ length: count }, (_, i) => data.readUInt16BE(from + 2 * i)).includes(information),
  };
}

function isOffered({ device, name }: Export, asked: Buffer): boolean {
  return device.isReady && (asked.length === 0 || asked.equals(Buffer.from(name)));
}

// ── replies ──────────────────────────────────────────────────────────────────

async function refuse(session: Session, option: number, type: number): Promise<Outcome> {
  await reply(session, option, type);
  return 'next';
}

/** Sends a reply and waits until the client takes it, so that replies do not pile up. */
function reply({ socket }: Session, option: number, type: number, ...data: Buffer[]): Promise<void> {
  const length = data.reduce((sum, { length }) => sum + length, 0);
  return send(socket, u64(OPTION_REPLY_MAGIC), u32(option), u32(type), u32(length), ...data);
}

function u16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(value);
  return bytes;
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

function u64(value: bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(value);
  return bytes;
}
