/** Calls of the stores that need no Node module. The bytes of these stores have nothing to do with the RAM. */
import { MemoryStore, SLOT_BYTES, type BackingStore, type MemoryStoreOptions } from '../../../bindings/index.ts';
import { KeyvStore, type KeyvStoreOptions } from '../../../bindings/backing/keyv.ts';
import { OpfsStore, type OpfsStoreOptions } from '../../../bindings/backing/opfs.ts';
import { ASYNC_DISPOSE, DISPOSE } from '../../../bindings/dispose.ts';
import { hostileHandle, hostileKeyv } from '../actors.ts';
import { hostileBytes } from '../buffers.ts';
import { bytesAt } from '../content.ts';
import { oddNumber, options, proxy } from '../values.ts';
import { SKIP, must, type Entry, type World } from '../world.ts';
import { below, entry, num, requireBelongs, room, size, some, text, without, type Makers } from './arguments.ts';

const OWNER = 8;
const SLOTS = 12;

/** Gives a store of this kind that is open in the world. */
type Of<T extends BackingStore> = (world: World) => T | undefined;

export function ofClass<T extends BackingStore>(type: { prototype: T }): Of<T> {
  return (world) => {
    const some = world.stores.filter((store): store is T => isA(store, type));
    return some.length === 0 ? undefined : world.dice.of(some);
  };
}

/** `instanceof` for stores that may be proxies. */
function isA(store: BackingStore, type: { prototype: unknown }): boolean {
  try {
    return Object.getPrototypeOf(store) === type.prototype;
  } catch {
    return false;
  }
}

/** The bytes that belong in a slot. An odd number may be a slot too: 2^31 is one when no number of slots was given. */
function bytesOf(slot: unknown, length: number): Uint8Array {
  return bytesAt(OWNER, Number.isSafeInteger(slot) ? (slot as number) * 8192 : 0, length);
}

/** read, write, free, sync, close, used and the rest, of stores of any kind. */
export function methods<T extends BackingStore>(
  name: string,
  of: Of<T>,
  make: (world: World) => unknown,
  others: readonly string[],
): Entry[] {
  const on =
    (run: (store: T, world: World) => unknown) =>
    (world: World): unknown => {
      const store = of(world);
      return store === undefined ? make(world) : run(store, world);
    };
  const both = (result: unknown, then: () => void): unknown => (result instanceof Promise ? result.then(then) : then());
  return [
    entry(
      `${name}.read`,
      on((store, world) => {
        const [slot, into] = [
          below(world, SLOTS),
          room(world, world.dice.of([SLOT_BYTES, SLOT_BYTES, 2 * SLOT_BYTES, 100])),
        ];
        return both(store.read(slot, into), () =>
          requireBelongs(
            `${name}.read`,
            { it: store, owner: OWNER, lied: name !== 'MemoryStore' || world.lent.has(store) },
            into,
            bytesOf(slot, SLOT_BYTES),
          ),
        );
      }),
      8,
    ),
    entry(
      `${name}.write`,
      on((store, world) => {
        const slot = below(world, SLOTS);
        return store.write(
          slot,
          hostileBytes(world, bytesOf(slot, world.dice.of([1, 100, 4096, SLOT_BYTES, SLOT_BYTES, 5000]))),
        );
      }),
      10,
    ),
    entry(
      `${name}.free`,
      on((store, world) => store.free(below(world, SLOTS))),
      4,
    ),
    entry(
      `${name}.close`,
      on((store, world) => (world.dice.once(6) ? closed(world, store) : SKIP)),
      1,
    ),
    ...others.map((other) => {
      if (other === 'sync')
        return entry(
          `${name}.sync`,
          on((store) => store.sync?.()),
          1,
        );
      if (other === '[dispose]')
        return entry(
          `${name}[dispose]`,
          on((store, world) => (world.dice.once(6) ? (store as unknown as Disposable)[DISPOSE]() : SKIP)),
          1,
        );
      if (other === '[asyncDispose]')
        return entry(
          `${name}[asyncDispose]`,
          on((store, world) => (world.dice.once(6) ? (store as unknown as AsyncDisposable)[ASYNC_DISPOSE]() : SKIP)),
          1,
        );
      return entry(
        `${name}.${other}`,
        on((store) => (store as unknown as Record<string, unknown>)[other]),
        1,
      );
    }),
  ];
}

function closed(world: World, store: BackingStore): unknown {
  if (world.dice.once(2)) world.stores = world.stores.filter((one) => one !== store);
  return store.close();
}

export const memoryMakers = (world: World): Makers<MemoryStoreOptions> => ({
  slots: () => num(world, world.dice.of([1, SLOTS, 2 ** 32 - 1])),
});

function makeMemory(world: World): void {
  world.stores.push(new MemoryStore(world.dice.once(3) ? undefined : some(world, memoryMakers(world), {}, 2)));
}

export const MEMORY_STORE: readonly Entry[] = [
  entry('MemoryStore.constructor', makeMemory, 1),
  ...methods('MemoryStore', ofClass(MemoryStore), makeMemory, ['used', 'bytes', 'reservedBytes', '[dispose]']),
];

export const keyvMakers = (world: World): Makers<KeyvStoreOptions> => ({
  prefix: () => text(world, 'p:'),
  slots: () => num(world, SLOTS),
  timeout: () => num(world, world.dice.of([5, 10_000])),
});

async function makeKeyv(world: World): Promise<void> {
  const store = await KeyvStore.open(
    hostileKeyv(world),
    world.dice.once(3) ? undefined : some(world, keyvMakers(world), {}, 3),
  );
  world.stores.push(store);
}

export const KEYV_STORE: readonly Entry[] = [
  entry(
    'KeyvStore.constructor',
    (world) => new (KeyvStore as unknown as new (...given: unknown[]) => unknown)(options(world, {}), '', 1),
    1,
  ),
  entry('KeyvStore.open', makeKeyv),
  ...methods('KeyvStore', ofClass(KeyvStore), makeKeyv, ['[asyncDispose]']),
];

export const opfsMakers = (world: World): Makers<OpfsStoreOptions> => ({
  name: () => text(world, 'a/b'),
  handle: () => hostileHandle(world),
  slots: () => num(world, SLOTS),
  size: () => size(world, 20 * SLOT_BYTES),
  existing: () => text(world, world.dice.of(['reopen', 'refuse', 'discard', 'overwrite'])),
});

function proxied(world: World): OpfsStoreOptions['handle'] {
  const handle = hostileHandle(world);
  return typeof handle === 'object' && handle !== null ? proxy(world, handle) : handle;
}

async function makeOpfs(world: World): Promise<void> {
  const given = some(
    world,
    without(opfsMakers(world), 'handle'),
    { handle: (world.dice.once(9) ? proxied(world) : hostileHandle(world)) as never, slots: SLOTS },
    6,
  );
  const store = await OpfsStore.open(given);
  must(store instanceof OpfsStore, 'OpfsStore.open gave something else');
  world.stores.push(store);
}

export const OPFS_STORE: readonly Entry[] = [
  entry(
    'OpfsStore.constructor',
    (world) => new (OpfsStore as unknown as new (...given: unknown[]) => unknown)(oddNumber(world)),
    1,
  ),
  entry('OpfsStore.open', makeOpfs),
  ...methods('OpfsStore', ofClass(OpfsStore), makeOpfs, ['sync', 'used', '[dispose]', '[asyncDispose]']),
];
