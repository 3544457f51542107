/** Images of a RAM in files. A file is written completely or not at all. */
import { randomBytes } from 'node:crypto';
import { open, rename, rm, type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import { CompcacheError } from '../bindings/index.ts';
import { InputError } from './pages.ts';

/** Only the owner may read the file, because it holds the contents of a disk. */
const PRIVATE = 0o600;
const PART = 2 ** 26;

/** A temporary file beside the final path. `commit` renames it. */
export interface NewFile {
  /** Writes the parts of an image one after the other. Returns the number of bytes. Events run between the parts. */
  write(parts: Iterable<Uint8Array>): Promise<number>;
  /** Makes the file durable and moves it to its final path. */
  commit(): Promise<void>;
  /** Removes the temporary file. Does nothing after commit. */
  abandon(): Promise<void>;
}

/** Creates a temporary file for a path. The path may have an older file. EIO, ENOSPC. */
export async function newFile(op: string, path: string): Promise<NewFile> {
  const temporary = `${path}.${randomBytes(6).toString('hex')}.tmp`;
  const file = await failing(op, path, open(temporary, 'wx', PRIVATE));
  let ended = false;
  return {
    write: (parts) => failing(op, path, writeParts(file, parts)),
    commit: () =>
      failing(
        op,
        path,
        (async () => {
          await file.sync();
          await file.close();
          await rename(temporary, path);
          ended = true;
          const folder = await open(dirname(path), 'r');
          await folder.sync().finally(() => folder.close());
        })(),
      ),
    abandon: async () => {
      if (ended) return;
      await file.close().catch(() => undefined);
      await rm(temporary, { force: true }).catch(() => undefined);
    },
  };
}

async function writeParts(file: FileHandle, parts: Iterable<Uint8Array>): Promise<number> {
  let bytes = 0;
  for (const part of parts) {
    await file.writeFile(part); // appends to the file
    bytes += part.length;
  }
  return bytes;
}

/** Turns an error of the host into one of ours. */
async function failing<T>(op: string, path: string, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (cause) {
    if (cause instanceof CompcacheError) throw cause;
    const { code, message } = cause as NodeJS.ErrnoException;
    throw new CompcacheError(code === 'ENOSPC' ? 'ENOSPC' : 'EIO', op, `cannot write ${path}: ${message}`, { cause });
  }
}

/** The bytes of an image. @throws InputError when the file cannot be read */
export async function readImage(path: string): Promise<Uint8Array> {
  try {
    const file = await open(path, 'r');
    try {
      const stat = await file.stat();
      if (!stat.isFile()) throw new Error('it is not a regular file');
      const bytes = new Uint8Array(stat.size);
      for (let at = 0; at < bytes.length;) {
        const { bytesRead } = await file.read(bytes, at, Math.min(PART, bytes.length - at), at);
        if (bytesRead === 0) throw new Error('it became shorter during the read');
        at += bytesRead;
      }
      return bytes;
    } finally {
      await file.close();
    }
  } catch (cause) {
    throw new InputError(`cannot read the image ${path}: ${(cause as Error).message}`, { cause });
  }
}
