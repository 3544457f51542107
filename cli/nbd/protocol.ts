/**
 * The NBD protocol: its numbers and layouts, from the protocol document of the NBD project (doc/proto.md). Only the
 * parts that this server uses: fixed newstyle negotiation and simple replies. All numbers are big-endian.
 *
 *   request   25609513 | flags u16 | command u16 | cookie u64 | offset u64 | length u32 | payload of a write
 *   reply     67446698 | error u32 | cookie u64 | payload of a read that succeeded
 *   option    IHAVEOPT | option u32 | length u32 | data
 *   its reply 0003e889045565a9 | option u32 | reply type u32 | length u32 | data
 */
import { CompcacheError, type ErrorCode } from '../../bindings/index.ts';

// ── negotiation ──────────────────────────────────────────────────────────────

export const INIT_PASSWD = 0x4e42444d41474943n; // NBDMAGIC
export const OPTION_MAGIC = 0x49484156454f5054n; // IHAVEOPT
export const OPTION_REPLY_MAGIC = 0x0003e889045565a9n;
export const OPTION_HEADER_BYTES = 16;

export const HANDSHAKE = { FIXED_NEWSTYLE: 1, NO_ZEROES: 2 } as const;
export const OPTION = { EXPORT_NAME: 1, ABORT: 2, LIST: 3, INFO: 6, GO: 7 } as const;
export const REPLY = {
  ACK: 1,
  SERVER: 2,
  INFO: 3,
  ERR_UNSUP: 0x80000001,
  ERR_POLICY: 0x80000002,
  ERR_INVALID: 0x80000003,
  ERR_UNKNOWN: 0x80000006,
  ERR_TOO_BIG: 0x80000009,
} as const;
export const INFO = { EXPORT: 0, NAME: 1, DESCRIPTION: 2, BLOCK_SIZE: 3 } as const;

/** The longest string of the protocol, in bytes of UTF-8. */
export const MAX_STRING = 4096;
/** Zero bytes after the reply to NBD_OPT_EXPORT_NAME, unless the client has set NO_ZEROES. */
export const ZEROES = 124;

/** Block sizes: any offset and length are allowed, whole pages are fastest, and a request has at most MAXIMUM bytes. */
export const BLOCK_SIZE = { MINIMUM: 1, PREFERRED: 4096, MAXIMUM: 32 * 2 ** 20 } as const;

// ── transmission ─────────────────────────────────────────────────────────────

export const REQUEST_MAGIC = 0x25609513;
export const REQUEST_BYTES = 28;
export const REPLY_MAGIC = 0x67446698;
export const REPLY_BYTES = 16;

export const EXPORT_FLAG = {
  HAS_FLAGS: 1 << 0,
  FLUSH: 1 << 2,
  FUA: 1 << 3,
  TRIM: 1 << 5,
  WRITE_ZEROES: 1 << 6,
  MULTI_CONN: 1 << 8,
  FAST_ZERO: 1 << 11,
} as const;
/** The flags of the export. All connections share one device, so a flush on one of them covers the writes of all. */
export const EXPORT_FLAGS = Object.values(EXPORT_FLAG).reduce((all, flag) => all | flag);

export const COMMAND = { READ: 0, WRITE: 1, DISC: 2, FLUSH: 3, TRIM: 4, WRITE_ZEROES: 6 } as const;
export const COMMAND_FLAG = { FUA: 1, NO_HOLE: 2, FAST_ZERO: 16 } as const;

export const NBD_ERROR = { NONE: 0, IO: 5, INVAL: 22, NOSPC: 28, NOTSUP: 95, SHUTDOWN: 108 } as const;
export type NbdError = (typeof NBD_ERROR)[keyof typeof NBD_ERROR];

const ERRORS: Partial<Record<ErrorCode, NbdError>> = {
  ENOMEM: NBD_ERROR.NOSPC,
  ENOSPC: NBD_ERROR.NOSPC, // not NBD's ENOMEM, which a client would take for its own memory
  EINVAL: NBD_ERROR.INVAL,
  ERANGE: NBD_ERROR.INVAL,
  ENODEV: NBD_ERROR.SHUTDOWN,
  ECLOSED: NBD_ERROR.SHUTDOWN,
};

/** The NBD error for an error of the device. */
export function nbdErrorOf(error: unknown): NbdError {
  return (error instanceof CompcacheError ? ERRORS[error.code] : undefined) ?? NBD_ERROR.IO;
}

export interface Request {
  flags: number;
  command: number;
  /** Eight bytes that the reply repeats. */
  cookie: Buffer;
  /** Rounded from 2^53 on, which is beyond the end of any device. */
  offset: number;
  length: number;
}

/** Reads the header of a request. Undefined when it is not valid. */
export function parseRequest(header: Buffer): Request | undefined {
  if (header.readUInt32BE(0) !== REQUEST_MAGIC) return undefined;
  return {
    flags: header.readUInt16BE(4),
    command: header.readUInt16BE(6),
    cookie: header.subarray(8, 16),
    offset: header.readUInt32BE(16) * 2 ** 32 + header.readUInt32BE(20),
    length: header.readUInt32BE(24),
  };
}

/** A reply with room for `length` bytes of payload. */
export function makeReply(cookie: Buffer, error: NbdError, length = 0): Buffer {
  const reply = Buffer.allocUnsafeSlow(REPLY_BYTES + length);
  reply.writeUInt32BE(REPLY_MAGIC, 0);
  reply.writeUInt32BE(error, 4);
  cookie.copy(reply, 8);
  return reply;
}
