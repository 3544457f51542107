/// <reference lib="esnext.disposable" preserve="true" />
/**
 * Volumes: stores of slots on media that are read and written by position. FileStore and OpfsStore are volumes.
 *
 * What is promised. Swap need not survive a crash, so a volume does not log its writes. But it never opens with a wrong
 * set of used slots: it opens with exactly the slots in use at the last clean close, or it does not open (EUCLEAN), or,
 * if the caller allows, a new one replaces it. The front end's checksums protect the contents of the slots.
 *
 * How. The labels (label.ts) identify the volume. The first one, the superblock, also says if the volume was closed.
 * Opening marks it dirty before anything else is written. Only close writes the slot map; when the map is durable, it
 * writes the clean mark with its CRC-32C. A failed flush may lose earlier writes: then there is no clean mark.
 *
 * A medium that ends before an extent begins is blank there: a new volume may be made. Other bytes without our magic,
 * even zeros, are not ours. So a new volume writes its labels before it extends the media, in an order in which a crash
 * never leaves zeros in place of a label. If the volume cannot be made, the media get their old sizes back.
 */
import { copyIn, copyOut, lengthOf } from '../bytes.ts';
import { ASYNC_DISPOSE } from '../dispose.ts';
import { CompcacheError, requireMaker } from '../errors.ts';
import { closedStore, emptySlot, requireContent, requireRoom, requireSlot } from './arguments.ts';
import { Geometry, tableOf, unitsOf, type Extent, type Place } from './geometry.ts';
import { LABEL_BYTES, crc32c, decodeLabel, encodeLabel, newId, type Label } from './label.ts';
import { ask, readAll, readUpTo, sizeOf, writeAll, type Medium } from './medium.ts';
import { runAsync, runSync, wait, type Steps } from '../steps.ts';
import { registerClass, registerStore } from './own.ts';
import { SLOT_BYTES, type BackingStore } from './types.ts';

/**
 * What to do when the media have contents already. By default, a volume that was closed in order and has the same
 * regions and slots opens with its slots. Any other volume of this package is replaced by a new, empty one.
 * - 'reopen': EUCLEAN instead for a volume that was not closed in order, is damaged, or has other regions or slots
 * - 'refuse': EEXIST
 * - 'discard': a volume of this package, in any state, is replaced
 * - 'overwrite': a new volume is made, whatever the media hold
 *
 * Bytes that are not from this package give EUCLEAN and stay unchanged, except with 'refuse' and 'overwrite'.
 */
export type Existing = 'reopen' | 'refuse' | 'discard' | 'overwrite';
export const EXISTING: readonly Existing[] = ['reopen', 'refuse', 'discard', 'overwrite'];

export interface VolumeOptions {
  /** Slots of the volume. Default: as many as fit. */
  slots?: number | undefined;
  existing?: Existing | undefined;
  /** True when a new volume may cut its media after its last unit. Then the media hold nothing else. */
  trim?: boolean;
}

/** An open volume. */
export interface Volume {
  /** True when the volume was made by this call, false when it was reopened. */
  fresh: boolean;
  extents: readonly Extent[];
  geometry: Geometry;
  /** The superblock, marked dirty. */
  superblock: Label;
  /** One bit for each slot, set when the slot is in use. */
  map: Uint8Array;
}

type Found = Label | 'foreign' | 'damaged' | 'blank';

function mediaOf(extents: readonly Extent[]): Medium[] {
  return [...new Set(extents.map(({ medium }) => medium))];
}

function endOf({ offset, length }: Extent): number {
  return offset + length;
}

// ── opening ──────────────────────────────────────────────────────────────────

function* find(op: string, extent: Extent): Steps<Found> {
  const { medium, offset, length } = extent;
  if ((yield* sizeOf(op, medium)) <= offset) return 'blank';
  const bytes = new Uint8Array(Math.min(LABEL_BYTES, length));
  const count = yield* readUpTo(op, medium, bytes, offset);
  return decodeLabel(bytes.subarray(0, count));
}

function* writeLabel(op: string, extent: Extent, label: Label): Steps<void> {
  yield* writeAll(op, extent.medium, encodeLabel(label), extent.offset);
}

function* flushAll(op: string, extents: readonly Extent[]): Steps<void> {
  for (const medium of mediaOf(extents)) yield* ask(op, () => medium.flush());
}

function newMap(op: string, geometry: Geometry): Uint8Array {
  try {
    return new Uint8Array(geometry.mapUnits * SLOT_BYTES);
  } catch (cause) {
    throw new CompcacheError('ENOMEM', op, `no memory for the map of ${geometry.slots} slots`, { cause });
  }
}

/** The part of the slot map that is stored in a unit. */
function mapPart(map: Uint8Array, unit: number): Uint8Array {
  return map.subarray(unit * SLOT_BYTES, (unit + 1) * SLOT_BYTES);
}

/** Extends each medium to the end of the last whole unit of its extents. ENOSPC, EIO. */
function* makeRoom(op: string, extents: readonly Extent[]): Steps<void> {
  for (const extent of extents) {
    const { medium, offset } = extent;
    const end = offset + unitsOf(extent) * SLOT_BYTES;
    if ((yield* sizeOf(op, medium)) < end) yield* ask(op, () => medium.resize(end));
  }
}

/** Cuts each medium to at most the given size. */
function* cutTo(op: string, sizes: Iterable<readonly [Medium, number]>): Steps<void> {
  for (const [medium, bytes] of sizes) {
    const size = yield* sizeOf(op, medium);
    if (size > bytes && Number.isFinite(size)) yield* ask(op, () => medium.resize(bytes));
  }
}

/**
 * Writes the labels in the order of their positions. A label that extends its medium is flushed before the next one:
 * a label beyond the end fills the bytes before it with zeros, and no label may be missing there.
 */
function* writeLabels(op: string, extents: readonly Extent[], label: (index: number) => Label): Steps<void> {
  const order = extents.map((extent, index) => ({ extent, index })).sort((a, b) => a.extent.offset - b.extent.offset);
  for (const { extent, index } of order) {
    const { medium, offset } = extent;
    const grows = (yield* sizeOf(op, medium)) < offset + LABEL_BYTES;
    yield* writeLabel(op, extent, label(index));
    if (grows) yield* ask(op, () => medium.flush());
  }
}

/** Makes a volume. Even if that fails, what is left of an older one has another id or is marked dirty. */
function* make(op: string, extents: readonly Extent[], { slots, trim }: VolumeOptions): Steps<Volume> {
  const geometry = new Geometry(op, extents, slots);
  const map = newMap(op, geometry);
  const shared = { id: newId(), extents: extents.length, slots: geometry.slots, table: tableOf(extents), map: 0 };
  const superblock: Label = { ...shared, index: 0, mark: 'dirty' };
  const before: [Medium, number][] = [];
  for (const medium of mediaOf(extents)) before.push([medium, yield* sizeOf(op, medium)]);
  try {
    yield* writeLabels(op, extents, (index) => (index === 0 ? superblock : { ...shared, index, mark: 'none' }));
    yield* makeRoom(op, extents);
    if (trim === true)
      yield* cutTo(
        op,
        extents.map((extent) => [extent.medium, extent.offset + unitsOf(extent) * SLOT_BYTES]),
      );
    yield* flushAll(op, extents);
  } catch (error) {
    yield* giveBack(op, before);
    throw error;
  }
  return { fresh: true, extents, geometry, superblock, map };
}

/** Restores the old sizes of the media after an error. Ignores further errors: the first one says more. */
function* giveBack(op: string, sizes: readonly [Medium, number][]): Steps<void> {
  try {
    yield* cutTo(op, sizes);
  } catch {
    return;
  }
}

function unclean(op: string, message: string): CompcacheError {
  return new CompcacheError('EUCLEAN', op, `${message}; existing: 'discard' makes a new volume`);
}

/** The superblock of a volume that was closed, whose labels belong together and match the extents. EUCLEAN. */
function requireClean(
  op: string,
  extents: readonly Extent[],
  found: readonly Found[],
  slots: number | undefined,
): Label {
  const table = tableOf(extents);
  const labels = found.map((label, index) => {
    if (typeof label === 'string') throw unclean(op, `extent ${index} is ${label}`);
    return label;
  });
  const superblock = labels[0] as Label;
  for (const [index, label] of labels.entries()) {
    if (label.id !== superblock.id || label.index !== index)
      throw unclean(op, `extent ${index} belongs to another volume, or elsewhere in this one`);
  }
  const same =
    superblock.table === table &&
    superblock.extents === extents.length &&
    (slots === undefined || superblock.slots === slots);
  if (!same)
    throw unclean(
      op,
      `the volume was made with another geometry (${superblock.extents} extents, ${superblock.slots} slots)`,
    );
  if (superblock.mark !== 'clean') throw unclean(op, 'the volume was not closed');
  return superblock;
}

function* requireWhole(op: string, extents: readonly Extent[]): Steps<void> {
  for (const [index, extent] of extents.entries()) {
    const size = yield* sizeOf(op, extent.medium);
    if (size < extent.offset + unitsOf(extent) * SLOT_BYTES) throw unclean(op, `extent ${index} was cut short`);
  }
}

function* reopen(
  op: string,
  extents: readonly Extent[],
  found: readonly Found[],
  slots: number | undefined,
): Steps<Volume> {
  const superblock = requireClean(op, extents, found, slots);
  yield* requireWhole(op, extents);
  const most = new Geometry(op, extents).slots;
  if (superblock.slots < 1 || superblock.slots > most)
    throw unclean(op, `the label has ${superblock.slots} slots, but there is room for ${most}`);
  const geometry = new Geometry(op, extents, superblock.slots);
  const map = newMap(op, geometry);
  for (let unit = 0; unit < geometry.mapUnits; unit++) {
    const { medium, at } = geometry.map(unit);
    yield* readAll(op, medium, mapPart(map, unit), at);
  }
  if (crc32c(map) !== superblock.map) throw unclean(op, 'the slot map is damaged');
  const dirty: Label = { ...superblock, mark: 'dirty', map: 0 };
  yield* writeLabel(op, extents[0] as Extent, dirty);
  yield* ask(op, () => (extents[0] as Extent).medium.flush());
  return { fresh: false, extents, geometry, superblock: dirty, map };
}

/**
 * Opens a volume, or makes one.
 * @param extents at least one; they do not overlap
 * @throws EEXIST with 'refuse' when there are contents; EINVAL for extents without room; EUCLEAN for bytes that are not
 *   from this package, and with 'reopen' for a volume that was not closed, is damaged, or was made with another
 *   geometry; ENOMEM; ENOSPC; EIO
 */
export function* openVolume(op: string, extents: readonly Extent[], options: VolumeOptions): Steps<Volume> {
  const { slots, existing } = options;
  if (existing === 'overwrite') return yield* make(op, extents, options);
  const found: Found[] = [];
  for (const extent of extents) found.push(yield* find(op, extent));
  if (found.every((label) => label === 'blank')) return yield* make(op, extents, options);
  if (existing === 'refuse') throw new CompcacheError('EEXIST', op, 'there is something already');
  const foreign = found.indexOf('foreign');
  if (foreign !== -1)
    throw new CompcacheError(
      'EUCLEAN',
      op,
      `extent ${foreign} has bytes that are not from compcache; existing: 'overwrite' replaces them`,
    );
  if (existing === 'discard') return yield* make(op, extents, options);
  try {
    return yield* reopen(op, extents, found, slots);
  } catch (error) {
    if (existing === 'reopen' || !CompcacheError.made(error) || error.code !== 'EUCLEAN') throw error;
  }
  return yield* make(op, extents, options);
}

/** Requires that no two extents of a medium overlap. EINVAL. */
export function requireApart(op: string, extents: readonly Extent[]): void {
  for (const medium of mediaOf(extents)) {
    const sorted = extents.filter((extent) => extent.medium === medium).sort((a, b) => a.offset - b.offset);
    sorted.forEach((extent, i) => {
      const next = sorted[i + 1];
      if (next !== undefined && endOf(extent) > next.offset)
        throw new CompcacheError('EINVAL', op, `two extents overlap at byte ${next.offset}`);
    });
  }
}

// ── the store ────────────────────────────────────────────────────────────────

/** The result of a call: the value, or a promise of the value. */
export type Result<M extends BackingStore['mode'], T> = M extends 'sync' ? T : Promise<T>;

/** The most buffers that a store keeps for later calls: as many as a front end has calls under way. */
const BUFFERS_KEPT = 32;

function countBits(map: Uint8Array): number {
  let count = 0;
  for (let byte of map) for (; byte !== 0; byte &= byte - 1) count++;
  return count;
}

/**
 * The store on an open volume.
 *
 * Errors of every method: EINVAL for a bad argument, ENOSPC for a slot beyond `slots`, EIO for a medium that fails, ECLOSED
 * after close.
 */
export class VolumeStore<M extends BackingStore['mode']> implements BackingStore {
  static readonly #methods = registerClass(VolumeStore.prototype);
  readonly mode: M;
  /** Slots of the store. */
  readonly slots: number;
  readonly #name: string;
  readonly #mode: M;
  readonly #volume: Volume;
  /** Buffers that no call uses now. */
  readonly #buffers: Uint8Array[] = [];
  readonly #underWay = new Set<Promise<unknown>>();
  #used: number;
  #flushFailed = false;
  #closing: Result<M, void> | undefined;
  #closed = false;

  /** @param name the name of the class, for errors */
  constructor(maker: unknown, name: string, mode: M, volume: Volume) {
    requireMaker(maker, 'VolumeStore', 'FileStore.open or OpfsStore.open');
    this.#name = name;
    this.#mode = mode;
    this.mode = mode;
    this.#volume = volume;
    this.slots = volume.geometry.slots;
    this.#used = countBits(volume.map);
    if (mode === 'sync') registerStore(this, VolumeStore.#methods);
  }

  /** Slots in use. */
  get used(): number {
    return this.#used;
  }

  /**
   * Reads a slot.
   * @returns SLOT_BYTES; the bytes behind those written last are undefined
   * @throws ENOENT for an empty slot
   */
  read(slot: number, into: Uint8Array): Result<M, number> {
    return this.#run(this.#read(slot, into));
  }

  /**
   * Writes 1 … SLOT_BYTES bytes to a slot, in place of its old contents.
   * @throws ENOSPC also when the medium is full
   */
  write(slot: number, bytes: Uint8Array): Result<M, void> {
    return this.#run(this.#write(slot, bytes));
  }

  /**
   * Frees a slot. Nothing is written.
   * @throws ENOENT for an empty slot
   */
  free(slot: number): Result<M, void> {
    return this.#run(this.#free(slot));
  }

  /** Makes the written slots durable. The volume stays marked dirty: only after close can it be opened again. */
  sync(): Result<M, void> {
    return this.#run(this.#sync());
  }

  /**
   * Writes the slot map, marks the volume clean, and closes the media, also after an error. Idempotent.
   * @throws EIO or ENOSPC when this failed, or when an earlier sync failed: the volume then stays dirty
   */
  close(): Result<M, void> {
    if (!this.#closed) {
      this.#closed = true;
      this.#closing = this.#run(this.#close());
    }
    return this.#closing as Result<M, void>;
  }

  async [ASYNC_DISPOSE](): Promise<void> {
    await this.close();
  }

  #run<T>(steps: Steps<T>): Result<M, T> {
    if (this.#mode === 'sync') return runSync(steps) as Result<M, T>;
    const call = runAsync(steps);
    const end = (): void => void this.#underWay.delete(call);
    this.#underWay.add(call);
    call.then(end, end);
    return call as Result<M, T>;
  }

  #requireOpen(call: string): string {
    const op = `${this.#name}.${call}`;
    if (this.#closed) throw closedStore(op);
    return op;
  }

  #holds(slot: number): boolean {
    return (((this.#volume.map[slot >>> 3] as number) >>> (slot & 7)) & 1) === 1;
  }

  #mark(slot: number, inUse: boolean): void {
    if (this.#holds(slot) === inUse) return;
    (this.#volume.map[slot >>> 3] as number) ^= 1 << (slot & 7);
    this.#used += inUse ? 1 : -1;
  }

  #requireHeld(op: string, slot: number): Place {
    requireSlot(op, slot, this.#volume.geometry.slots);
    if (!this.#holds(slot)) throw emptySlot(op, slot);
    return this.#volume.geometry.slot(slot);
  }

  /** A buffer for a slot. Media never get a caller's array, because it may be detached while they wait. */
  #takeBuffer(): Uint8Array {
    return this.#buffers.pop() ?? new Uint8Array(SLOT_BYTES);
  }

  #returnBuffer(buffer: Uint8Array): void {
    if (this.#buffers.length < BUFFERS_KEPT) this.#buffers.push(buffer);
  }

  *#read(slot: number, into: Uint8Array): Steps<number> {
    const op = this.#requireOpen('read');
    requireRoom(op, into);
    const { medium, at } = this.#requireHeld(op, slot);
    const buffer = this.#takeBuffer();
    try {
      yield* readAll(op, medium, buffer, at);
      copyOut(op, 'into', into, buffer);
    } finally {
      this.#returnBuffer(buffer);
    }
    return SLOT_BYTES;
  }

  *#write(slot: number, bytes: Uint8Array): Steps<void> {
    const op = this.#requireOpen('write');
    requireSlot(op, slot, this.#volume.geometry.slots);
    requireContent(op, bytes);
    const { medium, at } = this.#volume.geometry.slot(slot);
    const buffer = this.#takeBuffer();
    try {
      const copy = buffer.subarray(0, lengthOf(bytes));
      copyIn(op, 'bytes', copy, bytes);
      yield* writeAll(op, medium, copy, at);
    } finally {
      this.#returnBuffer(buffer);
    }
    this.#mark(slot, true);
  }

  // No medium is called here, but an 'async' store must reject like its other methods.
  *#free(slot: number): Steps<void> {
    const op = this.#requireOpen('free');
    this.#requireHeld(op, slot);
    this.#mark(slot, false);
  }

  *#sync(): Steps<void> {
    yield* this.#flush(this.#requireOpen('sync'));
  }

  *#flush(op: string): Steps<void> {
    try {
      yield* flushAll(op, this.#volume.extents);
    } catch (error) {
      this.#flushFailed = true;
      throw error;
    }
  }

  *#close(): Steps<void> {
    const op = `${this.#name}.close`;
    const calls = [...this.#underWay];
    if (calls.length > 0) yield* wait(Promise.allSettled(calls));
    try {
      yield* this.#markClean(op);
    } finally {
      yield* closeAll(op, mediaOf(this.#volume.extents));
    }
  }

  *#markClean(op: string): Steps<void> {
    const { extents, geometry, map, superblock } = this.#volume;
    if (this.#flushFailed) throw new CompcacheError('EIO', op, 'a sync failed, so the volume stays dirty');
    for (let unit = 0; unit < geometry.mapUnits; unit++) {
      const { medium, at } = geometry.map(unit);
      yield* writeAll(op, medium, mapPart(map, unit), at);
    }
    yield* this.#flush(op);
    yield* writeLabel(op, extents[0] as Extent, { ...superblock, mark: 'clean', map: crc32c(map) });
    yield* ask(op, () => (extents[0] as Extent).medium.flush());
  }
}

/** Closes all media. Then throws the first error. EIO. */
export function* closeAll(op: string, media: readonly Medium[]): Steps<void> {
  let failed: unknown;
  for (const medium of media) {
    try {
      yield* ask(op, () => medium.close());
    } catch (error) {
      failed ??= error;
    }
  }
  if (failed !== undefined) throw failed;
}
