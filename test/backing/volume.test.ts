/**
 * The volume format of FileStore and OpfsStore, on media in memory: places of slots, reopening, refusals, and media
 * that fail.
 */
import { describe, expect, test } from 'vitest';
import { bytesFor, type Extent } from '../../bindings/backing/geometry.ts';
import { LABEL_BYTES, crc32c, decodeLabel, encodeLabel, type Label } from '../../bindings/backing/label.ts';
import { runAsync } from '../../bindings/steps.ts';
import { SLOT_BYTES, type BackingStore } from '../../bindings/backing/types.ts';
import { VolumeStore, openVolume, requireApart, type VolumeOptions } from '../../bindings/backing/volume.ts';
import { MAKER, type CompcacheError } from '../../bindings/errors.ts';
import { errorOf } from '../harness.ts';
import { content, dice } from './content.ts';
import { TestMedium, type Operation } from './medium.ts';
import { codeOf, expectContent, expectModel, play, testBackingStore } from './suite.ts';

type Mode = BackingStore['mode'];
const SECTOR = 512;

/** Opens a volume, with existing: 'reopen' unless the options say otherwise (undefined takes the default). */
async function open(
  extents: readonly Extent[],
  options: VolumeOptions = {},
  mode: Mode = 'sync',
): Promise<VolumeStore<Mode>> {
  const volume = await runAsync(openVolume('Test.open', extents, { existing: 'reopen', ...options }));
  return new VolumeStore<Mode>(MAKER, 'Test', mode, volume);
}

async function openCode(extents: readonly Extent[], options: VolumeOptions = {}): Promise<string> {
  return open(extents, options).then(
    () => 'opened',
    (error: unknown) => (error as CompcacheError).code,
  );
}

/** Extents on two media: runs of slots, holes between them, single slots, odd offsets, and ends inside a unit. */
function scattered(a: TestMedium, b: TestMedium): Extent[] {
  return [
    { medium: b, offset: 3 * SLOT_BYTES + 17, length: 2 * SLOT_BYTES },
    { medium: a, offset: 100, length: 12 * SLOT_BYTES + 4000 },
    { medium: b, offset: 0, length: 2 * SLOT_BYTES + 1 },
    { medium: a, offset: 40 * SLOT_BYTES, length: 30 * SLOT_BYTES },
  ];
}

function lone(medium: TestMedium, slots: number): Extent[] {
  return [{ medium, offset: 0, length: bytesFor(slots) }];
}

const broken = (): Error => Object.assign(new Error('input/output error'), { code: 'EIO' });

const SCATTERED_SLOTS = 1 + 11 + 1 + 29 - 1;

for (const mode of ['sync', 'async'] as const) {
  testBackingStore({
    name: `a volume, ${mode}`,
    mode,
    type: 'Test',
    open: (slots) => open(lone(new TestMedium(mode), slots), {}, mode),
  });
  testBackingStore({
    name: `a volume of scattered extents with short reads and writes, ${mode}`,
    mode,
    type: 'Test',
    open: (slots) => {
      const media = [new TestMedium(mode), new TestMedium(mode)] as const;
      for (const medium of media) medium.most = 1000;
      return open(scattered(...media), { slots }, mode);
    },
  });
}

test('crc32c() is CRC-32C (Castagnoli)', () => {
  expect(crc32c(Uint8Array.from('123456789', (digit) => digit.charCodeAt(0)))).toBe(0xe3069283);
  expect(crc32c(new Uint8Array(32))).toBe(0x8a9136aa);
});

describe('geometry', () => {
  test('all space is used for slots: one label for each extent, one unit of map for 33024 slots', async () => {
    expect((await open(scattered(new TestMedium(), new TestMedium()))).slots).toBe(SCATTERED_SLOTS);
    for (const slots of [1, 2, 33023, 33024, 33025, 66048, 66049]) {
      const medium = new TestMedium();
      expect((await open(lone(medium, slots))).slots).toBe(slots);
      expect(medium.bytes.length).toBe((1 + Math.ceil(slots / 33024) + slots) * SLOT_BYTES);
      const less: Extent = { medium: new TestMedium(), offset: 0, length: bytesFor(slots) - 1 };
      expect(await openCode([less], { slots })).toBe('EINVAL');
    }
  });

  test('slots do not overlap, lie in whole units of their extents, and no other byte is written', async () => {
    const media = [new TestMedium(), new TestMedium()] as const;
    const extents = scattered(...media);
    const store = await open(extents);
    for (let slot = 0; slot < store.slots; slot++) await store.write(slot, content(slot, 1, SLOT_BYTES));
    for (let slot = 0; slot < store.slots; slot++) await expectContent(store, slot, content(slot, 1, SLOT_BYTES));
    await store.close();
    for (const medium of media) {
      for (const operation of medium.operations) {
        if (operation === 'flush') continue;
        const inside = extents.some(
          (extent) =>
            extent.medium === medium &&
            operation.at >= extent.offset &&
            operation.at + operation.bytes.length <=
              extent.offset + Math.floor(extent.length / SLOT_BYTES) * SLOT_BYTES,
        );
        expect(inside, `${operation.bytes.length} bytes at ${operation.at}`).toBe(true);
      }
    }
    expect(media[1].bytes.length).toBe(5 * SLOT_BYTES + 17);
  });

  test('a map larger than the first extent continues in the next one', async () => {
    const [a, b] = [new TestMedium(), new TestMedium()];
    const extents: Extent[] = [
      { medium: a, offset: 0, length: 2 * SLOT_BYTES },
      { medium: b, offset: 0, length: bytesFor(40000) },
    ];
    const store = await open(extents);
    expect(store.slots).toBe(40001);
    await store.write(0, content(0, 1, 10));
    await store.write(40000, content(1, 1, 10));
    await store.close();
    const again = await open(extents);
    expect(again.used).toBe(2);
    await expectContent(again, 40000, content(1, 1, 10));
  });

  test('extents without room, or more slots than fit, are EINVAL', async () => {
    const medium = new TestMedium();
    for (const length of [0, 1, SLOT_BYTES, 2 * SLOT_BYTES - 1])
      expect(await openCode([{ medium, offset: 0, length }])).toBe('EINVAL');
    expect(await openCode([{ medium, offset: 0, length: 2 * SLOT_BYTES }])).toBe('EINVAL');
    expect(await openCode(lone(medium, 5), { slots: 6 })).toBe('EINVAL');
    expect(medium.operations).toEqual([]);
    const extent: Extent = { medium, offset: 0, length: 100 };
    expect(errorOf(() => requireApart('Test', [{ ...extent, offset: 99 }, extent])).code).toBe('EINVAL');
    requireApart('Test', [{ ...extent, offset: 100 }, extent, { ...extent, medium: new TestMedium() }]);
  });
});

describe('a volume that was closed', () => {
  test.each(['sync', 'async'] as const)('reopens with exactly its slots, %s', async (mode) => {
    const media = [new TestMedium(mode), new TestMedium(mode)] as const;
    let model = new Map<number, Uint8Array>();
    for (let round = 0; round < 3; round++) {
      const store = await open(scattered(...media), {}, mode);
      expect(store.used).toBe(model.size);
      await expectModel(store, store.slots, model);
      for (const slot of model.keys()) await store.free(slot);
      model = await play(store, store.slots, 150, round);
      expect(store.used).toBe(model.size);
      await store[Symbol.asyncDispose]();
    }
  });

  test('close waits for the calls under way', async () => {
    const medium = new TestMedium('async');
    const store = await open(lone(medium, 4), {}, 'async');
    const calls = [store.write(0, content(0, 1, 10)), store.write(3, content(3, 1, 10))];
    const closing = store.close();
    expect(store.close()).toBe(closing);
    await Promise.all([...calls, closing]);
    const again = await open(lone(medium, 4), {}, 'async');
    expect(again.used).toBe(2);
    await expectContent(again, 3, content(3, 1, 10));
  });

  test('is marked dirty as soon as it is open', async () => {
    const medium = new TestMedium();
    await (await open(lone(medium, 4))).close();
    medium.operations = [];
    await open(lone(medium, 4));
    expect(medium.operations).toMatchObject([{ at: 0 }, 'flush']);
    expect(await openCode(lone(medium, 4))).toBe('EUCLEAN');
  });

  test('is EUCLEAN with another geometry, with exchanged extents, or with an extent of another volume', async () => {
    const [a, b] = [new TestMedium(), new TestMedium()];
    const whole = (medium: TestMedium): Extent => ({ medium, offset: 0, length: 10 * SLOT_BYTES });
    await (await open([whole(a), whole(b)])).close();
    const other = new TestMedium();
    await (await open([whole(new TestMedium()), whole(other)])).close();
    for (const extents of [
      [whole(b), whole(a)],
      [whole(a)],
      [whole(b)],
      [whole(a), whole(other)],
      [whole(a), whole(new TestMedium())],
      [whole(new TestMedium()), whole(b)],
      [whole(a), { ...whole(b), length: 9 * SLOT_BYTES }],
      [whole(a), whole(b), whole(new TestMedium())],
    ])
      expect(await openCode(extents)).toBe('EUCLEAN');
    expect(await openCode([whole(a), whole(b)], { slots: 16 })).toBe('EUCLEAN');
    expect(await openCode([whole(a), { ...whole(b), offset: 1 }])).toBe('EUCLEAN');
    expect(await openCode([whole(a), whole(b)], { slots: 17 })).toBe('opened');
  });

  test('remembers its number of slots when more would fit', async () => {
    const medium = new TestMedium();
    await (await open(lone(medium, 50), { slots: 7 })).close();
    expect((await open(lone(medium, 50))).slots).toBe(7);
  });
});

describe('extents that are not empty', () => {
  const clean = async (): Promise<TestMedium> => {
    const medium = new TestMedium();
    const store = await open(lone(medium, 4));
    await store.write(2, content(2, 1, 10));
    await store.close();
    return medium;
  };
  const dirty = async (): Promise<TestMedium> => {
    const medium = await clean();
    await open(lone(medium, 4));
    return medium;
  };
  const damaged = async (): Promise<TestMedium> => {
    const medium = await clean();
    (medium.bytes[40] as number) ^= 1;
    return medium;
  };
  const larger = async (): Promise<TestMedium> => {
    const medium = new TestMedium();
    const store = await open(lone(medium, 5));
    await store.write(2, content(2, 1, 10));
    await store.close();
    return medium;
  };
  const cut = async (): Promise<TestMedium> => new TestMedium('sync', (await clean()).bytes.slice(0, bytesFor(4) - 1));
  const damagedMap = async (): Promise<TestMedium> => {
    const medium = await clean();
    (medium.bytes[SLOT_BYTES] as number) ^= 1;
    return medium;
  };
  const zeros = async (): Promise<TestMedium> => new TestMedium('sync', new Uint8Array(bytesFor(4)));
  const text = async (): Promise<TestMedium> => new TestMedium('sync', new TextEncoder().encode("somebody else's"));
  const table = [
    ['clean', clean, 1, 1, 'EEXIST', 0, 0],
    ['clean, of another size', larger, 0, 'EUCLEAN', 'EEXIST', 0, 0],
    ['not closed', dirty, 0, 'EUCLEAN', 'EEXIST', 0, 0],
    ['cut short', cut, 0, 'EUCLEAN', 'EEXIST', 0, 0],
    ['with a damaged label', damaged, 0, 'EUCLEAN', 'EEXIST', 0, 0],
    ['with a damaged map', damagedMap, 0, 'EUCLEAN', 'EEXIST', 0, 0],
    ['zeros', zeros, 'EUCLEAN', 'EUCLEAN', 'EEXIST', 'EUCLEAN', 0],
    ['text', text, 'EUCLEAN', 'EUCLEAN', 'EEXIST', 'EUCLEAN', 0],
    ['nothing', async () => new TestMedium(), 0, 0, 0, 0, 0],
  ] as const;

  test.each(table)('%s: opens with these slots, or is refused', async (what, medium, ...results) => {
    for (const [i, existing] of ([undefined, 'reopen', 'refuse', 'discard', 'overwrite'] as const).entries()) {
      const found = await medium();
      const before = found.bytes.slice();
      found.operations = [];
      const result = await open(lone(found, 4), { existing }).then(
        ({ used }) => used,
        (error: unknown) => (error as CompcacheError).code,
      );
      expect(result, existing ?? 'unless given').toBe(results[i]);
      if (typeof result === 'string')
        expect([found.operations, found.bytes], 'a refusal changes nothing').toEqual([[], before]);
    }
  });

  test('a volume made over an old one is closed and reopened like any other, and truncated when that is asked for', async () => {
    const medium = await larger();
    const store = await open(lone(medium, 4), { existing: undefined, trim: true });
    expect(medium.bytes.length).toBe(bytesFor(4));
    await store.write(1, content(1, 1, 10));
    await store.close();
    expect((await open(lone(medium, 4))).used).toBe(1);
    const kept = await larger();
    await open(lone(kept, 4), { existing: undefined });
    expect(kept.bytes.length).toBe(bytesFor(5));
  });

  test('a label with more slots than fit is EUCLEAN', async () => {
    for (const slots of [0, 5, 0xffffffff]) {
      const medium = await clean();
      const label = decodeLabel(medium.bytes.subarray(0, LABEL_BYTES)) as Label;
      medium.bytes.set(encodeLabel({ ...label, slots }));
      expect(await openCode(lone(medium, 4), { existing: 'reopen' })).toBe('EUCLEAN');
      expect(await openCode(lone(medium, 4), { existing: undefined })).toBe('opened');
    }
  });

  test('one extent with foreign content is enough to refuse the volume', async () => {
    const [ours, theirs] = [new TestMedium(), await text()];
    const extents = [...lone(ours, 4), ...lone(theirs, 4)];
    for (const existing of [undefined, 'reopen', 'discard'] as const)
      expect(await openCode(extents, { existing })).toBe('EUCLEAN');
    expect([ours.bytes.length, theirs.operations]).toEqual([0, []]);
  });
});

// ── crashes ──────────────────────────────────────────────────────────────────

/** The sectors of a write, each as a separate write. */
function sectorsOf({ at, bytes }: Exclude<Operation, string>): Exclude<Operation, string>[] {
  const parts = [];
  for (let from = 0; from < bytes.length;) {
    const to = Math.min(bytes.length, from + SECTOR - ((at + from) % SECTOR));
    parts.push({ at: at + from, bytes: bytes.subarray(from, to) });
    from = to;
  }
  return parts;
}

/**
 * Opens the volume that a crash has left. It must be refused, or be in one of the states that were closed. @returns
 * which
 */
async function afterCrash(
  image: Uint8Array,
  slots: number,
  states: readonly ReadonlyMap<number, Uint8Array>[],
): Promise<number | 'refused'> {
  let store: VolumeStore<Mode>;
  try {
    store = await open(lone(new TestMedium('sync', image), slots));
  } catch (error) {
    expect((error as CompcacheError).code).toBe('EUCLEAN');
    return 'refused';
  }
  const state = states.findIndex(
    (model) => model.size === store.used && [...model].every(([slot, bytes]) => holds(store, slot, bytes)),
  );
  expect(state, 'what was opened is no state that was closed').not.toBe(-1);
  return state;
}

function holds(store: VolumeStore<Mode>, slot: number, bytes: Uint8Array): boolean {
  const into = new Uint8Array(SLOT_BYTES);
  try {
    void store.read(slot, into);
  } catch {
    return false;
  }
  return bytes.every((byte, i) => into[i] === byte);
}

describe('after a crash', () => {
  const SLOTS = 12;

  /**
   * A volume that is closed in one state, opened, used, and closed in another state: its first image, and all later
   * writes and flushes.
   */
  async function record(): Promise<{ before: Uint8Array; operations: Operation[]; states: Map<number, Uint8Array>[] }> {
    const medium = new TestMedium();
    const first = await open(lone(medium, SLOTS));
    const old = await play(first, SLOTS, 30, 1);
    await first.close();
    const before = medium.bytes.slice();
    medium.operations = [];
    const second = await open(lone(medium, SLOTS));
    const now = new Map(old);
    for (const slot of [...now.keys()].slice(0, 3)) {
      await second.free(slot);
      now.delete(slot);
    }
    for (const slot of [0, 5, SLOTS - 1]) {
      now.set(slot, content(slot, 99, 3000));
      await second.write(slot, content(slot, 99, 3000));
    }
    await second.close();
    return { before, operations: medium.operations, states: [old, now] };
  }

  test('the last clean close is reopened, or the volume refused: torn at every sector, and with the sectors between flushes in any order', async () => {
    const { before, operations, states } = await record();
    const roll = dice(7);
    const seen = new Set<number | 'refused'>();
    let durable = before.slice();
    let pending: Exclude<Operation, string>[] = [];
    const crash = async (written: readonly Exclude<Operation, string>[]): Promise<void> => {
      const image = durable.slice();
      for (const { at, bytes } of written) image.set(bytes, at);
      seen.add(await afterCrash(image, SLOTS, states));
    };
    for (const operation of operations) {
      if (operation !== 'flush') {
        for (const sector of sectorsOf(operation)) {
          pending.push(sector);
          await crash(pending);
          for (let i = 0; i < 4; i++) await crash(pending.filter(() => roll(2) === 0));
        }
        continue;
      }
      const image = durable.slice();
      for (const { at, bytes } of pending) image.set(bytes, at);
      [durable, pending] = [image, []];
      await crash([]);
    }
    expect(pending, 'close ends with a flush').toEqual([]);
    expect(seen).toEqual(new Set([0, 1, 'refused']));
    expect(await afterCrash(durable, SLOTS, states)).toBe(1);
  });

  test.each(['new', 'replaced'])(
    'a volume of several regions whose creation was interrupted while it was %s opens without an error',
    async (what) => {
      const extents = (media: readonly TestMedium[]): Extent[] =>
        scattered(media[0] as TestMedium, media[1] as TestMedium);
      for (let calls = 0; ; calls++) {
        const media = [new TestMedium(), new TestMedium()];
        if (what !== 'new') await open(extents(media));
        // All calls fail from a certain one on: the media then hold what a killed process leaves.
        let left = calls;
        for (const medium of media)
          medium.before = () => {
            if (left-- <= 0) throw broken();
          };
        const code = await openCode(extents(media), { existing: undefined });
        const images = media.map(({ bytes }) => new TestMedium('sync', bytes.slice()));
        expect(await openCode(extents(images), { existing: undefined }), `after ${calls} calls`).toBe('opened');
        if (code === 'opened') break;
      }
    },
  );

  test('when a volume cannot be made, the medium gets its old size back', async () => {
    for (const kind of ['write', 'flush', 'resize'] as const) {
      const medium = new TestMedium();
      medium.fails[kind] = broken();
      medium.torn = 100;
      if (kind === 'resize') medium.failsOnce = true;
      expect(await openCode(lone(medium, SLOTS))).toBe('EIO');
      expect(medium.bytes.length, kind).toBe(0);
    }
    const theirs = new TestMedium('sync', new TextEncoder().encode("somebody else's"));
    theirs.fails.flush = broken();
    expect(await openCode([{ medium: theirs, offset: 1000, length: bytesFor(2) }])).toBe('EIO');
    expect(new TextDecoder().decode(theirs.bytes)).toBe("somebody else's");
  });

  test('a superblock torn at any byte: the volume is refused, or in its old state', async () => {
    const { operations, before, states } = await record();
    const labels = operations.filter((operation) => operation !== 'flush' && operation.at === 0) as Exclude<
      Operation,
      string
    >[];
    expect(labels.length).toBe(2);
    const image = before.slice();
    for (const label of labels) {
      for (let end = 0; end <= label.bytes.length; end++) {
        const torn = image.slice();
        torn.set(label.bytes.subarray(0, end));
        await afterCrash(torn, SLOTS, states.slice(0, 1));
      }
      image.set(label.bytes);
      states.reverse();
      // The second label is torn on top of the data of the second state.
      for (const operation of operations)
        if (operation !== 'flush' && operation.at !== 0) image.set(operation.bytes, operation.at);
    }
  });

  test('a volume that was not closed is refused, wherever the process stopped', async () => {
    const medium = new TestMedium();
    const store = await open(lone(medium, SLOTS));
    await store.write(0, content(0, 1, 100));
    await store.sync();
    expect(await openCode(lone(medium, SLOTS))).toBe('EUCLEAN');
  });
});

describe('damage', () => {
  async function closed(): Promise<{ extents: (media: readonly TestMedium[]) => Extent[]; images: Uint8Array[] }> {
    const extents = (media: readonly TestMedium[]): Extent[] =>
      media.map((medium) => ({ medium, offset: 0, length: 4 * SLOT_BYTES }));
    const media = [new TestMedium(), new TestMedium()];
    const store = await open(extents(media));
    await store.write(1, content(1, 1, SLOT_BYTES));
    await store.close();
    return { extents, images: media.map(({ bytes }) => bytes) };
  }

  test('any changed bit of a label or the map is refused; the data of slots are not checked', async () => {
    const { extents, images } = await closed();
    const flip = async (which: number, at: number, bit: number): Promise<string> => {
      const media = images.map((bytes) => new TestMedium('sync', bytes.slice()));
      ((media[which] as TestMedium).bytes[at] as number) ^= 1 << bit;
      return openCode(extents(media));
    };
    for (const which of [0, 1]) {
      for (let at = 0; at < SECTOR; at++) expect(await flip(which, at, at & 7), `byte ${at}`).toBe('EUCLEAN');
    }
    for (let at = SLOT_BYTES; at < 2 * SLOT_BYTES; at++)
      expect(await flip(0, at, at & 7), `byte ${at}`).toBe('EUCLEAN');
    for (const [which, at] of [
      [0, SECTOR],
      [0, 2 * SLOT_BYTES],
      [1, SLOT_BYTES],
    ] as const)
      expect(await flip(which, at, 0)).toBe('opened');
  });

  test('a sector of the metadata that is lost or outdated is refused', async () => {
    const { extents, images } = await closed();
    for (const [which, from, to] of [
      [0, 0, SECTOR],
      [1, 0, SECTOR],
      [0, SLOT_BYTES, SLOT_BYTES + 8],
    ] as const) {
      for (const value of [0, 0xff]) {
        const media = images.map((bytes) => new TestMedium('sync', bytes.slice()));
        (media[which] as TestMedium).bytes.fill(value, from, to);
        expect(await openCode(extents(media))).toBe('EUCLEAN');
      }
    }
  });

  test('a medium that is cut off at any sector is refused', async () => {
    const { extents, images } = await closed();
    for (const which of [0, 1]) {
      const length = (images[which] as Uint8Array).length;
      for (let end = 0; end < length; end += end < 2 * SECTOR ? 64 : SECTOR) {
        const media = images.map(
          (bytes, i) => new TestMedium('sync', i === which ? bytes.slice(0, end) : bytes.slice()),
        );
        expect(await openCode(extents(media)), `cut at ${end}`).toBe('EUCLEAN');
      }
      const media = images.map((bytes, i) => new TestMedium('sync', i === which ? bytes.slice(0, 7) : bytes.slice()));
      expect(await openCode(extents(media))).toBe('EUCLEAN');
    }
  });
});

// ── media that fail ──────────────────────────────────────────────────────────

describe.each(['sync', 'async'] as const)('a medium that fails, %s', (mode) => {
  const into = new Uint8Array(SLOT_BYTES);

  async function start(): Promise<{ medium: TestMedium; store: VolumeStore<Mode> }> {
    const medium = new TestMedium(mode);
    const store = await open(lone(medium, 4), {}, mode);
    await store.write(0, content(0, 1, SLOT_BYTES));
    return { medium, store };
  }

  test('a read that fails is EIO with the cause, and works again afterwards', async () => {
    const { medium, store } = await start();
    medium.fails.read = broken();
    expect(await codeOf(store, () => store.read(0, into))).toBe('EIO');
    const error = await Promise.resolve()
      .then(() => store.read(0, into))
      .catch((caught: unknown) => caught as CompcacheError);
    expect((error as CompcacheError).cause).toBe(medium.fails.read);
    medium.fails = {};
    await expectContent(store, 0, content(0, 1, SLOT_BYTES));
  });

  test('a medium that ends inside a slot is EIO', async () => {
    const { medium, store } = await start();
    medium.bytes = medium.bytes.slice(0, 2 * SLOT_BYTES + 100);
    expect(await codeOf(store, () => store.read(0, into))).toBe('EIO');
  });

  test('a torn write is EIO; a slot that was empty before stays empty', async () => {
    const { medium, store } = await start();
    medium.fails.write = broken();
    medium.torn = 1000;
    expect(await codeOf(store, () => store.write(1, content(1, 1, 2000)))).toBe('EIO');
    expect(await codeOf(store, () => store.write(0, content(0, 2, 2000)))).toBe('EIO');
    expect(await codeOf(store, () => store.read(1, into))).toBe('ENOENT');
    medium.fails = {};
    await expectContent(store, 0, content(0, 2, 1000));
    await store.write(1, content(1, 1, 2000));
    await expectContent(store, 1, content(1, 1, 2000));
  });

  test('a medium that writes no byte and reports no error is EIO', async () => {
    const { medium, store } = await start();
    medium.most = 0;
    expect(await codeOf(store, () => store.write(1, content(1, 1, 10)))).toBe('EIO');
  });

  test('an impossible count from read or write is EIO', async () => {
    const { medium, store } = await start();
    for (const count of [-1, SLOT_BYTES + 1, 0.5, NaN, 0xfffffff8]) {
      medium.says = count;
      expect(await codeOf(store, () => store.read(0, into))).toBe('EIO');
      expect(await codeOf(store, () => store.write(0, content(0, 1, SLOT_BYTES)))).toBe('EIO');
    }
    medium.says = undefined;
    await expectContent(store, 0, content(0, 1, SLOT_BYTES));
  });

  test.each(['ENOSPC', 'EDQUOT', 'EFBIG'])('%s is ENOSPC', async (code) => {
    const { medium, store } = await start();
    medium.fails.write = Object.assign(new Error('full'), { code });
    expect(await codeOf(store, () => store.write(1, content(1, 1, 10)))).toBe('ENOSPC');
  });

  test("the browser's QuotaExceededError is ENOSPC", async () => {
    const { medium, store } = await start();
    medium.fails.write = Object.assign(new Error('full'), { name: 'QuotaExceededError' });
    expect(await codeOf(store, () => store.write(1, content(1, 1, 10)))).toBe('ENOSPC');
  });

  test('a medium that becomes full at any byte of a slot is ENOSPC; with more room the same write works', async () => {
    const { medium, store } = await start();
    const begin = 3 * SLOT_BYTES;
    for (let room = begin; room < begin + SLOT_BYTES; room += 97) {
      medium.room = room;
      expect(await codeOf(store, () => store.write(1, content(1, room, SLOT_BYTES)))).toBe('ENOSPC');
    }
    medium.room = Infinity;
    await store.write(1, content(1, 7, SLOT_BYTES));
    await expectContent(store, 1, content(1, 7, SLOT_BYTES));
  });

  test('after a sync that failed the volume is never marked clean', async () => {
    const { medium, store } = await start();
    medium.fails.flush = broken();
    expect(await codeOf(store, () => store.sync())).toBe('EIO');
    medium.fails = {};
    await store.sync();
    expect(await codeOf(store, () => store.close())).toBe('EIO');
    expect(medium.closed).toBe(1);
    expect(await openCode(lone(medium, 4))).toBe('EUCLEAN');
  });

  test.each(['write', 'flush'] as const)(
    'a %s that fails in close is EIO, the medium is closed, the volume is dirty',
    async (kind) => {
      const { medium, store } = await start();
      medium.fails[kind] = broken();
      expect(await codeOf(store, () => store.close())).toBe('EIO');
      expect(medium.closed).toBe(1);
      expect(await codeOf(store, () => store.read(0, into))).toBe('ECLOSED');
      medium.fails = {};
      expect(await openCode(lone(medium, 4))).toBe('EUCLEAN');
    },
  );

  test('when one medium does not close, close is EIO, and all others are closed', async () => {
    const media = [new TestMedium(mode), new TestMedium(mode)];
    const store = await open(
      media.flatMap((medium) => lone(medium, 4)),
      {},
      mode,
    );
    (media[0] as TestMedium).fails.close = broken();
    expect(await codeOf(store, () => store.close())).toBe('EIO');
    expect(media.map(({ closed }) => closed)).toEqual([1, 1]);
    expect(await openCode(media.flatMap((medium) => lone(medium, 4)))).toBe('opened');
  });

  test.each(['read', 'write', 'flush', 'resize'] as const)('a %s that fails in open is EIO', async (kind) => {
    const medium = new TestMedium(mode);
    await (await open(lone(medium, 4), {}, mode)).close();
    medium.fails[kind] = broken();
    if (kind === 'resize') medium.bytes = new Uint8Array(0);
    expect(await openCode(lone(medium, 4))).toBe('EIO');
  });
});
