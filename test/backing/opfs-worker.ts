/** A dedicated worker with OPFS stores, on which it makes the calls that messages ask for. */
import { OpfsStore, type OpfsStoreOptions } from '../../bindings/backing/opfs.ts';
import { CompcacheError } from '../../bindings/errors.ts';
import { content } from './content.ts';

export type Request =
  | { call: 'open'; store: number; options: OpfsStoreOptions }
  | { call: 'read'; store: number; slot: number; room: unknown }
  | { call: 'write'; store: number; slot: number; bytes: unknown }
  | { call: 'free'; store: number; slot: number }
  | { call: 'sync' | 'close'; store: number }
  | { call: 'openByHandle' | 'putBytes' | 'getBytes' | 'remove'; name: string; bytes?: Uint8Array };

export interface Reply {
  id: number;
  value?: unknown;
  /** The bytes that a read gave. */
  bytes?: Uint8Array;
  error?: { code: string; op: string; message: string };
}

const stores = new Map<number, OpfsStore>();

function storeOf(store: number): OpfsStore {
  return stores.get(store) as OpfsStore;
}

/** The result of a synchronous store: it must not be a promise. */
function atOnce(value: unknown): unknown {
  if (value instanceof Promise) throw new Error('a sync store must not return a promise');
  return value;
}

async function file(name: string): Promise<FileSystemFileHandle> {
  return (await navigator.storage.getDirectory()).getFileHandle(name, { create: true });
}

async function perform(request: Request): Promise<{ value?: unknown; bytes?: Uint8Array }> {
  switch (request.call) {
    case 'open': {
      const store = await OpfsStore.open(request.options);
      stores.set(request.store, store);
      return { value: { mode: store.mode, slots: store.slots, used: store.used } };
    }
    case 'read': {
      const room = request.room as Uint8Array;
      return { value: atOnce(storeOf(request.store).read(request.slot, room)), bytes: room };
    }
    case 'write':
      return { value: atOnce(storeOf(request.store).write(request.slot, request.bytes as Uint8Array)) };
    case 'free':
      return { value: atOnce(storeOf(request.store).free(request.slot)) };
    case 'sync':
      return { value: atOnce(storeOf(request.store).sync()) };
    case 'close':
      return { value: atOnce(storeOf(request.store).close()) };
    case 'openByHandle': {
      const store = await OpfsStore.open({ handle: await file(request.name), slots: 4 });
      store.write(3, content(3, 1, 100));
      store[Symbol.dispose]();
      return {};
    }
    case 'putBytes': {
      const writable = await (await file(request.name)).createWritable();
      await writable.write(request.bytes as Uint8Array<ArrayBuffer>);
      await writable.close();
      return {};
    }
    case 'getBytes':
      return { bytes: new Uint8Array(await (await (await file(request.name)).getFile()).arrayBuffer()) };
    case 'remove':
      await (await navigator.storage.getDirectory()).removeEntry(request.name);
      return {};
  }
}

addEventListener('message', ({ data: { id, ...request } }: MessageEvent<Request & { id: number }>) => {
  perform(request as Request).then(
    (result) => postMessage({ id, ...result } satisfies Reply),
    (error: unknown) => {
      const { op, message } = error as CompcacheError;
      const code = error instanceof CompcacheError ? error.code : 'foreign';
      postMessage({ id, error: { code, op, message } } satisfies Reply);
    },
  );
});
