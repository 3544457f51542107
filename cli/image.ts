/** Images of a RAM in files: written whole or not at all, and read back. */
import { randomBytes } from 'node:crypto';
import { open, rename, rm, type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import { CompcacheError } from '../bindings/index.ts';
import { InputError } from './pages.ts';

/** The file holds the memory of a disk. */
const PRIVATE = 0o600;
const PART = 2 ** 26;

/** A file beside its place, which it takes with `commit`. */
export interface NewFile {
  /** Writes the parts of an image, one after the other: how many bytes. Between them events come in. */
  write(parts: Iterable<Uint8Array>): Promise<number>;
  /** Makes it last and gives it its place. */
  commit(): Promise<void>;
  /** Gives it up, unless it has its place. */
  abandon(): Promise<void>;
}

/** Begins a file for a place, in which there may be an older one. EIO, ENOSPC. */
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
    await file.writeFile(part); // behind what is there
    bytes += part.length;
  }
  return bytes;
}

/** What the host refuses, as an error of ours. */
async function failing<T>(op: string, path: string, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (cause) {
    if (cause instanceof CompcacheError) throw cause;
    const { code, message } = cause as NodeJS.ErrnoException;
    throw new CompcacheError(code === 'ENOSPC' ? 'ENOSPC' : 'EIO', op, `cannot write ${path}: ${message}`, { cause });
  }
}

/** The bytes of an image. @throws InputError for what cannot be read */
export async function readImage(path: string): Promise<Uint8Array> {
  try {
    const file = await open(path, 'r');
    try {
      const stat = await file.stat();
      if (!stat.isFile()) throw new Error('it is no file');
      const bytes = new Uint8Array(stat.size);
      for (let at = 0; at < bytes.length;) {
        const { bytesRead } = await file.read(bytes, at, Math.min(PART, bytes.length - at), at);
        if (bytesRead === 0) throw new Error('it has become shorter');
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
