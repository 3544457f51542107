/** The generator has every method, accessor and option of the public API. */
import { describe, expect, test } from 'vitest';
import * as everything from '../../bindings/index.ts';
import {
  MemoryStore,
  PageTable,
  Ram,
  Ramzswap,
  SwapSpace,
  Zpool,
  Zswap,
  type CompcacheError,
} from '../../bindings/index.ts';
import { KeyvStore } from '../../bindings/backing/keyv.ts';
import { OpfsStore } from '../../bindings/backing/opfs.ts';
import { callable, known } from './coverage.ts';
import { World } from './world.ts';
import { compactMakers, openMakers, poolMakers, ramMakers } from './tables/core.ts';
import {
  deviceMakers,
  deviceOpenMakers,
  openZswapMakers,
  recompressMakers,
  settingMakers,
  zswapMakers,
} from './tables/fronts.ts';
import { CLASSES } from './tables/index.ts';
import { keyvMakers, memoryMakers, opfsMakers } from './tables/stores.ts';

const TYPES = { Ram, Zpool, PageTable, Zswap, SwapSpace, Ramzswap, MemoryStore, KeyvStore, OpfsStore };

describe('the generator of hostile calls has', () => {
  test.each(Object.entries(TYPES))('every method and accessor of %s', (type, constructor) => {
    expect(known(CLASSES, type)).toEqual(callable(type, constructor));
  });

  test('the methods of codecs, and loadCodec', () => {
    const codec = Ram.createSync({ bytes: '256KiB' }).codec('lz4');
    expect(known(CLASSES, 'Codec').filter((name) => name !== 'Codec.loadCodec')).toEqual(
      callable('Codec', codec.constructor as never).filter((name) => name !== 'Codec.numberOf'),
    );
  });

  test('every exported class and function', () => {
    const functions = Object.entries(everything)
      .filter(([, value]) => typeof value === 'function')
      .map(([name]) => name);
    expect(functions.filter((name) => !(name in TYPES)).sort()).toEqual(['CompcacheError', 'loadCodec']);
  });

  /** The options that a call names in its error when it is given an unknown option. */
  async function options(call: (given: never) => unknown): Promise<string[]> {
    let message = '';
    try {
      await call({ '?': 1 } as never);
    } catch (error) {
      ({ message } = error as CompcacheError);
    }
    return /known: (.*) \(EINVAL\)$/.exec(message)?.[1]?.split(', ').sort() ?? [message];
  }

  test('every option', async () => {
    const world = await World.create('release', CLASSES, 1);
    const keys = (makers: object, ...others: string[]): string[] => [...Object.keys(makers), ...others].sort();
    const without = (makers: object, ...names: string[]): string[] =>
      keys(makers).filter((key) => !names.includes(key));
    const { ram } = world;
    expect(await options((given) => Ram.create(given))).toEqual(keys(ramMakers(world)));
    expect(await options((given) => Ram.createSync(given))).toEqual(keys(ramMakers(world)));
    expect(await options((given) => Ram.restore(ram.snapshot(), given))).toEqual(
      without(ramMakers(world), 'firstFrame'),
    );
    expect(await options((given) => ram.openZpool('witness', given))).toEqual(keys(openMakers(world)));
    for (const allocator of everything.ALLOCATORS) {
      expect(await options((given) => ram.zpool(allocator, given))).toEqual(keys(poolMakers(world, allocator)));
    }
    const pool = ram.zpool('zbud');
    expect(await options((given) => pool.compact(given))).toEqual(keys(compactMakers(world)));
    expect(await options((given) => Zswap.create(given))).toEqual(keys(zswapMakers(world)));
    expect(await options((given) => Zswap.open(ram, 'zswap#1', given))).toEqual(keys(openZswapMakers(world)));
    expect(await options((given) => SwapSpace.create(given))).toEqual(keys(zswapMakers(world)));
    expect(await options((given) => Ramzswap.create(given))).toEqual(keys(deviceMakers(world)));
    expect(await options((given) => Ramzswap.open(ram, 'x', given))).toEqual(keys(deviceOpenMakers(world)));
    const device = await Ramzswap.create({ ram });
    expect(await options((given) => device.init(given))).toEqual(keys(settingMakers(world)));
    device.init({ disksize: 4096 });
    expect(await options((given) => device.recompress(given))).toEqual(keys(recompressMakers(world)));
    const zpool = everything.ALLOCATORS.flatMap((allocator) =>
      without(poolMakers(world, allocator), 'name', 'evict'),
    ).sort();
    expect(await options((given) => Zswap.create({ zpool: given }))).toEqual(zpool);
    expect(await options((given) => Ramzswap.create({ zpool: given }))).toEqual(zpool);
    expect(await options((given) => new MemoryStore(given))).toEqual(keys(memoryMakers(world)));
    expect(await options((given) => KeyvStore.open(new Map() as never, given))).toEqual(keys(keyvMakers(world)));
    expect(await options((given) => OpfsStore.open(given))).toEqual(keys(opfsMakers(world)));
  });
});
