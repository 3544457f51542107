/**
 * xcfmalloc as a plain model: objects of one or two blocks of 64-byte units, a reserve of wholly
 * free frames, and the compaction that the original never had.
 *
 * Follows docs/rules/xvmalloc-xcfmalloc.md section 2 (rules S1 to S17) and section 6 (C1 to C9). A
 * frame is an array of blocks in address order, so that in-frame headers need no model, and each
 * block stands for its descriptor. Reclaim is ours (the original had none): R7.
 *
 * Where the texts leave room:
 * - reserve 0 (S7 with nothing to search): a malloc that finds no block takes one frame for itself.
 * - Frame numbers (ties in C1) are given as a RAM would: those given back first, last back first
 *   out, then a new one. A core whose descriptors take frames between may number otherwise.
 * - victims (C8) bounds the frames given back, so that repeated calls get ahead; plans that were
 *   undone do not count.
 * - A frame under reclaim is off the LRU and its free blocks are off their lists, so that nothing is
 *   placed in it meanwhile; compaction neither empties nor fills it. When it is kept, its free
 *   blocks return to the heads of their lists in address order.
 * - Of the objects noted when the frame was taken, the callback is asked for those still alive.
 * - No frame on the LRU without a block of a mapped object: EINVAL at the first try, EAGAIN later.
 * - A frame that reclaim emptied goes back to the RAM directly, not to the reserve (as in C6), so
 *   that each success brings a frame; until the callbacks are through it is in no list.
 * - C9 while a reclaim is under way: a frame that it has emptied is still one of those with objects.
 * - The end of a try counts all frames given back since the last one ended (or since the first of
 *   nested reclaims began), those of second blocks included; if there are any, it was a success.
 */
import { BaseModel } from './base.ts';
import type { LiveObject } from './base.ts';
import { invariant, List, PAGE_SIZE } from './types.ts';

const UNIT = 64;
const FRAME_UNITS = PAGE_SIZE / UNIT;
const HEADER = 12; // S1

export interface XcfmallocModelOptions {
  blocks?: 1 | 2;
  reserve?: number;
}

interface Frame {
  /** Never used twice. */
  readonly serial: number;
  /** The number in the RAM: it decides the order of equal frames in C1. */
  number: number;
  /** In address order. */
  readonly blocks: Block[];
  underReclaim: boolean;
}

interface Block {
  readonly frame: Frame;
  /** Never used twice. */
  readonly serial: number;
  /** Offset and extent in units. */
  readonly unit: number;
  units: number;
  owner: Resident | undefined;
  /** Of a used block: bytes stored + 12 (S2). */
  stored: number;
}

/** An object. */
interface Resident extends LiveObject {
  /** In chain order. */
  readonly blocks: Block[];
}

/** A block to be moved and its one or two new places, with the bytes stored + 12 of each. */
interface Move {
  readonly block: Block;
  readonly targets: { readonly block: Block; readonly stored: number }[];
}

/** Steps that undo a plan, to be run last one first. */
type Undo = (() => void)[];

export class XcfmallocModel extends BaseModel<Resident, Frame> {
  /** Counters of compact() over all calls: blocks that moved, payload bytes copied. */
  readonly counts = { blocksMoved: 0, bytesMoved: 0, passes: 0 };
  readonly maxSize = PAGE_SIZE - HEADER;
  readonly maxBlocks: 1 | 2;
  readonly reserveTarget: number;
  /** S5: index u - 1 holds the free blocks of u units; the last element is the list's head (S6). */
  readonly #lists: Block[][] = [];
  /** Frames with a used block. Head = front = newest. */
  readonly #lru = new List<Frame>();
  readonly #frames = new Set<Frame>();
  readonly #freeNumbers: number[] = [];
  #nextNumber = 0;
  #nextSerial = 1;
  /** Frames given back that no reclaim has counted yet. */
  #givenBack = 0;
  #reclaims = 0;
  /** The frames that S7 can get from the RAM. */
  #framesLeft = Infinity;

  constructor(options: XcfmallocModelOptions = {}) {
    super();
    this.maxBlocks = options.blocks ?? 2;
    this.reserveTarget = options.reserve ?? 32;
    for (let units = 1; units <= FRAME_UNITS; units++) this.#lists.push([]);
    this.#topUp();
  }

  /** S9: the reserve included. */
  get pages(): number {
    return this.#frames.size;
  }

  get reserve(): number {
    return this.#list(FRAME_UNITS).length;
  }

  /** S2: one for every block, free or used, those of the reserve included. */
  get descriptors(): number {
    let count = 0;
    for (const frame of this.#frames) count += frame.blocks.length;
    return count;
  }

  get objectsInTwoBlocks(): number {
    return [...this.live.values()].filter((object) => object.blocks.length === 2).length;
  }

  /** Free blocks outside the reserve. */
  get freeBlocks(): number {
    let count = 0;
    for (let units = 1; units < FRAME_UNITS; units++) count += this.#list(units).length;
    return count;
  }

  // ---- malloc, free

  protected override put(id: number, bytes: number): Resident {
    // S10
    this.#topUp();
    const object: Resident = { id, bytes, blocks: [], maps: 0 };
    let left = bytes;
    while (left > 0) {
      const needed = unitsFor(left);
      const block = this.#select(needed, object.blocks.length === 0) ?? this.#newFrame();
      this.#unlist(block);
      block.owner = object;
      object.blocks.push(block);
      if (block.units >= needed) {
        // S12
        this.#cut(block, needed);
        block.stored = left + HEADER;
        left = 0;
      } else {
        // S13
        block.stored = block.units * UNIT;
        left -= block.stored - HEADER;
      }
    }
    for (const block of object.blocks) this.#touch(block.frame);
    return object;
  }

  // S16
  protected override remove(object: Resident): void {
    for (const block of object.blocks) this.#releaseBlock(block);
    // S8
    const reserve = this.#list(FRAME_UNITS);
    for (const { frame } of reserve.splice(this.reserveTarget)) this.#giveBack(frame);
  }

  /** malloc in a RAM that has only this number of frames left for the reserve; a cut still gets what it needs. */
  mallocShort(size: number, frames: number): number {
    this.#framesLeft = frames;
    const id = this.malloc(size);
    this.#framesLeft = Infinity;
    return id;
  }

  /**
   * Gives the pool only this number of frames: in a full RAM a cut gives a frame of the reserve back to get its
   * descriptor (a reclaim under way does not count it), and a reserve that is filled again stays short. All frames of
   * the reserve are alike, so it does not matter which ones are gone.
   */
  lackFrames(pages: number): void {
    const lacking = this.pages - pages;
    const frames = this.#list(FRAME_UNITS).splice(0, lacking);
    invariant(frames.length === lacking, 'only frames of the reserve can be lacking');
    for (const { frame } of frames) this.#drop(frame);
  }

  // ---- reclaim (R7)

  protected override victim(): Frame | undefined {
    return this.#lru.findFromTail((frame) => !this.#hasMapped(frame));
  }

  protected override isolate(frame: Frame): void {
    this.#lru.remove(frame);
    for (const block of frame.blocks) if (block.owner === undefined) this.#unlist(block);
    frame.underReclaim = true;
    this.#reclaims++;
  }

  /** In address order of their first block here, each object once. */
  protected override residents(frame: Frame): Resident[] {
    const owners = frame.blocks.map((block) => block.owner);
    return [...new Set(owners.filter((owner) => owner !== undefined))];
  }

  protected override release(frame: Frame): number {
    if (usedUnits(frame) === 0) {
      this.#giveBack(frame);
    } else {
      for (const block of frame.blocks) if (block.owner === undefined) this.#list(block.units).push(block);
      this.#lru.insertHead(frame);
    }
    frame.underReclaim = false;
    this.#reclaims--;
    const given = this.#givenBack;
    this.#givenBack = 0;
    return given;
  }

  // ---- compaction

  // C7
  override compact(options: { victims?: number } = {}): number {
    const victims = options.victims ?? Infinity;
    let total = 0;
    while (total < victims) {
      const freed = this.#compactPass(victims - total);
      if (freed === 0) break;
      total += freed;
    }
    return total;
  }

  // C9
  override freeable(): number {
    const frames = [...this.#frames].filter((frame) => usedUnits(frame) > 0 || frame.underReclaim);
    let used = 0;
    for (const frame of frames) used += usedUnits(frame);
    return frames.length - Math.ceil(used / FRAME_UNITS);
  }

  #compactPass(limit: number): number {
    this.counts.passes++;
    // C1
    const frames = this.#usedFrames().filter((frame) => !frame.underReclaim);
    frames.sort((a, b) => usedUnits(a) - usedUnits(b) || a.number - b.number);
    // C2
    for (let units = 1; units < FRAME_UNITS; units++) this.#list(units).length = 0;
    for (const frame of frames) {
      for (const block of frame.blocks) {
        if (block.owner === undefined) this.#list(block.units).push(block);
      }
    }
    // C3
    let freed = 0;
    for (const frame of frames) {
      if (freed === limit) break;
      if (this.#hasMapped(frame)) continue;
      if (this.#emptyOut(frame)) freed++;
    }
    return freed;
  }

  /** Empties one victim, or changes nothing. */
  #emptyOut(victim: Frame): boolean {
    const undo: Undo = [];
    const moves: Move[] = [];
    for (const block of victim.blocks) {
      if (block.owner === undefined) this.#take(block, undo);
    }
    for (const block of victim.blocks) {
      if (block.owner === undefined) continue;
      const targets = this.#plan(block, undo);
      if (targets === undefined) {
        // C5
        for (const step of undo.reverse()) step();
        return false;
      }
      moves.push({ block, targets });
    }
    // C6
    for (const { block, targets } of moves) {
      const { owner } = block;
      if (owner === undefined) throw new Error('a free block was planned');
      owner.blocks.splice(owner.blocks.indexOf(block), 1, ...targets.map((t) => t.block));
      for (const target of targets) {
        target.block.owner = owner;
        target.block.stored = target.stored;
      }
      this.counts.blocksMoved++;
      this.counts.bytesMoved += block.stored - HEADER;
    }
    this.#lru.remove(victim);
    this.#giveBack(victim);
    return true;
  }

  // C4
  #plan(block: Block, undo: Undo): Move['targets'] | undefined {
    const payload = block.stored - HEADER;
    const needed = unitsFor(payload);
    // (a), but never a frame of the reserve (C2)
    const exact = needed < FRAME_UNITS ? this.#head(needed) : undefined;
    if (exact !== undefined) return [this.#fill(exact, payload, undo)];
    // (b)
    if (this.maxBlocks === 2 && block.owner?.blocks.length === 1) {
      for (let units = needed - 1; units >= 1; units--) {
        const first = this.#head(units);
        if (first === undefined) continue;
        const inFirst = units * UNIT - HEADER;
        const second = this.#smallestHole(unitsFor(payload - inFirst), first);
        if (second === undefined) continue;
        return [this.#fill(first, inFirst, undo), this.#fill(second, payload - inFirst, undo)];
      }
    }
    // (c)
    const larger = this.#smallestHole(needed + 1, undefined);
    if (larger !== undefined) return [this.#fill(larger, payload, undo)];
    return undefined;
  }

  /** Outside the reserve, and not `other`. */
  #smallestHole(atLeast: number, other: Block | undefined): Block | undefined {
    for (let units = atLeast; units < FRAME_UNITS; units++) {
      const list = this.#list(units);
      const hole = list.at(-1) === other ? list.at(-2) : list.at(-1);
      if (hole !== undefined) return hole;
    }
    return undefined;
  }

  /** Uses a hole for this payload; the rest becomes a hole at once. */
  #fill(hole: Block, payload: number, undo: Undo): Move['targets'][number] {
    this.#take(hole, undo);
    const units = hole.units;
    const rest = this.#cut(hole, unitsFor(payload));
    if (rest !== undefined) {
      undo.push(() => {
        this.#unlist(rest);
        removeFrom(hole.frame.blocks, rest);
        hole.units = units;
      });
    }
    return { block: hole, stored: payload + HEADER };
  }

  /** Takes a hole out of its list; the undo step puts it back at its old place. */
  #take(hole: Block, undo: Undo): void {
    const list = this.#list(hole.units);
    const index = removeFrom(list, hole);
    undo.push(() => list.splice(index, 0, hole));
  }

  // ---- where things are

  /** S17; the checksum adds 1 to it as to any other p. */
  placement(id: number): number {
    const [first, second] = this.places(id);
    if (first === undefined) throw new Error(`no object ${id}`);
    return first.offset + 1 + (second === undefined ? 0 : 7 * (second.offset + 1));
  }

  /** Frame number and offset of each block, in chain order. */
  places(id: number): { frame: number; offset: number; bytes: number }[] {
    return this.object(id).blocks.map((block) => ({
      frame: block.frame.number,
      offset: block.unit * UNIT,
      bytes: block.stored - HEADER,
    }));
  }

  /** Serials of the frames of each block, in chain order. */
  frameSerials(id: number): number[] {
    return this.object(id).blocks.map((block) => block.frame.serial);
  }

  override renumber(framesOf: (id: number) => readonly number[]): void {
    for (const object of this.live.values()) {
      const numbers = framesOf(object.id);
      object.blocks.forEach((block, i) => (block.frame.number = numbers[i] ?? -1));
    }
  }

  where(id: number): number {
    // A block never moves: an object moves when it gets other blocks.
    const [first, second] = this.object(id).blocks;
    return (first?.serial ?? 0) * 2 ** 26 + (second?.serial ?? 0);
  }

  /** Frames front to back of the LRU, each as the ids of its objects, by first block there. */
  lru(): number[][] {
    return this.#lru.toArray().map((frame) => this.residents(frame).map((object) => object.id));
  }

  check(): void {
    let used = 0;
    let free = 0;
    let claimed = 0;
    for (const frame of this.#frames) {
      let end = 0;
      let previousFree = false;
      let usedHere = 0;
      for (const block of frame.blocks) {
        const isFree = block.owner === undefined;
        invariant(block.frame === frame, 'a block knows its frame');
        invariant(block.unit === end && block.units > 0, 'S1: blocks tile the frame');
        invariant(!(isFree && previousFree), 'S4: no two adjacent free blocks');
        end = block.unit + block.units;
        previousFree = isFree;
        if (block.owner === undefined) {
          if (!frame.underReclaim) free++;
          const isListed = this.#list(block.units).includes(block);
          invariant(isListed !== frame.underReclaim, 'S5: a free block is on its list');
        } else {
          usedHere++;
          invariant(block.units === Math.ceil(block.stored / UNIT), 'S2: extent of a used block');
          invariant(block.owner.blocks.includes(block), 'S2: a block is in its chain');
          invariant(this.live.get(block.owner.id) === block.owner, 'a live owner');
        }
      }
      invariant(end === FRAME_UNITS, 'S1: blocks fill the frame');
      used += usedHere;
      if (frame.underReclaim) claimed++;
      const onLru = usedHere > 0 && !frame.underReclaim;
      invariant(this.#lru.has(frame) === onLru, 'a frame with a used block is on the LRU');
    }
    let chained = 0;
    for (const object of this.live.values()) {
      chained += object.blocks.length;
      invariant(object.blocks.length <= this.maxBlocks, 'I1: no more blocks than allowed');
      const payload = object.blocks.reduce((sum, block) => sum + block.stored - HEADER, 0);
      invariant(payload === object.bytes, 'S3: the blocks hold the object');
    }
    invariant(chained === used, 'every used block is in a chain');
    invariant(this.freeBlocks + this.reserve === free, 'nothing else is on a list');
    invariant(this.reserve <= this.reserveTarget, 'S8: the reserve is trimmed');
    const usedFrames = this.#frames.size - this.reserve;
    invariant(this.#lru.size + claimed === usedFrames, 'nothing else is on the LRU');
    invariant(this.#reclaims === claimed, 'reclaims under way');
  }

  // ---- blocks and lists

  #list(units: number): Block[] {
    const list = this.#lists[units - 1];
    if (list === undefined) throw new Error(`no list of ${units} units`);
    return list;
  }

  #head(units: number): Block | undefined {
    return this.#list(units).at(-1);
  }

  #unlist(block: Block): void {
    removeFrom(this.#list(block.units), block);
  }

  // S11
  #select(needed: number, isFirst: boolean): Block | undefined {
    const exact = this.#head(needed);
    if (exact !== undefined) return exact;
    if (this.maxBlocks === 2 && isFirst) {
      // Down to list 1, that is 2 units: list 0 is never used here.
      for (let units = needed - 1; units >= 2; units--) {
        const smaller = this.#head(units);
        if (smaller !== undefined) return smaller;
      }
    }
    for (let units = needed + 1; units <= FRAME_UNITS; units++) {
      const larger = this.#head(units);
      if (larger !== undefined) return larger;
    }
    return undefined;
  }

  /** Keeps the low units; the rest, if any, becomes a free block in its list. */
  #cut(block: Block, units: number): Block | undefined {
    if (block.units === units) return undefined;
    const rest = this.#newBlock(block.frame, block.unit + units, block.units - units);
    block.units = units;
    const { blocks } = block.frame;
    blocks.splice(blocks.indexOf(block) + 1, 0, rest);
    this.#list(rest.units).push(rest);
    return rest;
  }

  // S16
  #releaseBlock(block: Block): void {
    const { frame } = block;
    const index = frame.blocks.indexOf(block);
    const previous = frame.blocks[index - 1];
    const next = frame.blocks[index + 1];
    let unit = block.unit;
    let units = block.units;
    let from = index;
    let count = 1;
    if (previous !== undefined && previous.owner === undefined) {
      if (!frame.underReclaim) this.#unlist(previous);
      unit = previous.unit;
      units += previous.units;
      from--;
      count++;
    }
    if (next !== undefined && next.owner === undefined) {
      if (!frame.underReclaim) this.#unlist(next);
      units += next.units;
      count++;
    }
    const merged = this.#newBlock(frame, unit, units);
    frame.blocks.splice(from, count, merged);
    if (frame.underReclaim) return;
    if (units === FRAME_UNITS) this.#lru.remove(frame);
    this.#list(units).push(merged);
  }

  #newBlock(frame: Frame, unit: number, units: number): Block {
    return { frame, serial: this.#nextSerial++, unit, units, owner: undefined, stored: 0 };
  }

  // ---- frames

  // S7
  #topUp(): void {
    for (; this.reserve < this.reserveTarget && this.#framesLeft > 0; this.#framesLeft--) this.#newFrame();
  }

  /** A wholly free frame, in the reserve. */
  #newFrame(): Block {
    const number = this.#freeNumbers.pop() ?? this.#nextNumber++;
    const frame: Frame = { serial: this.#nextSerial++, number, blocks: [], underReclaim: false };
    const block = this.#newBlock(frame, 0, FRAME_UNITS);
    frame.blocks.push(block);
    this.#frames.add(frame);
    this.#list(FRAME_UNITS).push(block);
    return block;
  }

  #drop(frame: Frame): void {
    this.#frames.delete(frame);
    this.#freeNumbers.push(frame.number);
  }

  #giveBack(frame: Frame): void {
    this.#drop(frame);
    if (this.#reclaims > 0) this.#givenBack++;
  }

  #usedFrames(): Frame[] {
    return [...this.#frames].filter((frame) => usedUnits(frame) > 0);
  }

  #touch(frame: Frame): void {
    if (this.#lru.has(frame)) this.#lru.remove(frame);
    this.#lru.insertHead(frame);
  }

  #hasMapped(frame: Frame): boolean {
    return frame.blocks.some((block) => (block.owner?.maps ?? 0) > 0);
  }
}

// S11: units for so much payload.
function unitsFor(payload: number): number {
  return Math.ceil((payload + HEADER) / UNIT);
}

function usedUnits(frame: Frame): number {
  let units = 0;
  for (const block of frame.blocks) if (block.owner !== undefined) units += block.units;
  return units;
}

/** Searches from the end, where the heads are; returns where it was. */
function removeFrom(list: Block[], block: Block): number {
  const index = list.lastIndexOf(block);
  if (index < 0) throw new Error('not in this list');
  list.splice(index, 1);
  return index;
}
