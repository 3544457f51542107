/**
 * zsmalloc as a plain model: size classes, zspages, fullness groups, compaction, LRU and reclaim.
 *
 * Follows docs/rules/zsmalloc.md; the rule numbers (C, F, G, L, M, D, K, J, U, E) are at the code that follows them.
 * Geometry: 4096-byte frames, one 4-byte word per object. Every variant has reclaim, which passes over zspages with a
 * mapped object (R4).
 */
import { BaseModel } from './base.ts';
import type { LiveObject } from './base.ts';
import { invariant, List, PAGE_SIZE } from './types.ts';

const WORD = 4;
const MIN_CLASS = 32;
const CLASS_STEP = 16;
const LAST_INDEX = 254;

export interface ZsmallocModelOptions {
  chainSize?: number;
  chainRule?: 'bytes' | 'percent';
  fullnessGroups?: 12 | 4;
}

/** A row of the class table: merged classes only. */
export interface ClassRow {
  index: number;
  size: number;
  pages: number;
  objs: number;
  tailWaste: number;
}

interface SizeClass extends ClassRow {
  allocated: number;
  used: number;
  /** One list per fullness group. */
  readonly groups: List<Zspage>[];
}

interface Zspage {
  readonly serial: number;
  readonly sizeClass: SizeClass;
  /** The object in each slot. */
  readonly slots: (ZsObject | undefined)[];
  /** Free slots as a stack: the last element is the head of the free list. */
  freeSlots: number[];
  inuse: number;
  /** The group of the list that it is on; undefined while it is on none. */
  group: number | undefined;
  underReclaim: boolean;
}

interface ZsObject extends LiveObject {
  zspage: Zspage;
  slot: number;
}

/** C2, C3: frames per zspage. */
export function chainLength(size: number, chainSize: number, rule: 'bytes' | 'percent'): number {
  const isPowerOfTwo = Number.isInteger(Math.log2(size));
  if (rule === 'bytes' && isPowerOfTwo) return 1;
  let best = 0;
  let bestScore = -Infinity;
  for (let k = 1; k <= chainSize; k++) {
    const bytes = PAGE_SIZE * k;
    const waste = bytes % size;
    const score = rule === 'bytes' ? -waste : Math.floor((100 * (bytes - waste)) / bytes);
    if (score > bestScore) {
      best = k;
      bestScore = score;
    }
  }
  return best;
}

export class ZsmallocModel extends BaseModel<ZsObject, Zspage> {
  readonly maxSize = 4096;
  readonly chainSize: number;
  readonly fullnessGroups: 12 | 4;
  /** Candidate index → the class it points to (C5). */
  readonly #classes: SizeClass[] = [];
  /** Merged classes, largest first. */
  readonly #kept: SizeClass[] = [];
  readonly #zspages = new Set<Zspage>();
  /** Head = front = most recent. */
  readonly #lru = new List<Zspage>();
  #nextSerial = 0;
  #pages = 0;
  #copies = 0;

  constructor(options: ZsmallocModelOptions = {}) {
    super();
    this.chainSize = options.chainSize ?? 8;
    this.fullnessGroups = options.fullnessGroups ?? 12;
    const rule = options.chainRule ?? 'bytes';
    // C1, C4, C5
    let kept: SizeClass | undefined;
    for (let index = LAST_INDEX; index >= 0; index--) {
      const size = MIN_CLASS + CLASS_STEP * index;
      const pages = chainLength(size, this.chainSize, rule);
      const objs = Math.floor((PAGE_SIZE * pages) / size);
      if (kept === undefined || kept.pages !== pages || kept.objs !== objs) {
        const groups: List<Zspage>[] = [];
        for (let group = 0; group < this.fullnessGroups; group++) groups.push(new List());
        const tailWaste = PAGE_SIZE * pages - size * objs;
        kept = { index, size, pages, objs, tailWaste, allocated: 0, used: 0, groups };
        this.#kept.push(kept);
      }
      this.#classes[index] = kept;
    }
  }

  get pages(): number {
    return this.#pages;
  }

  /** Slots copied by all compactions so far; not the number of objects that changed place (Q3). */
  get copies(): number {
    return this.#copies;
  }

  /** Merged classes, smallest first. */
  classTable(): ClassRow[] {
    return this.#kept
      .map(({ index, size, pages, objs, tailWaste }) => ({ index, size, pages, objs, tailWaste }))
      .reverse();
  }

  /** C8: the smallest request that lands in the huge class. */
  hugeClassSize(): number {
    const spanning = this.#kept.find((c) => c.pages !== 1 && c.objs !== 1);
    const shared = this.#kept.find((c) => c.objs > 1);
    return (spanning ?? shared ?? { size: 0 }).size - 3;
  }

  /** C6: the class index (C5) that a request of so many bytes gets. */
  classIndexOf(bytes: number): number {
    return this.#classOf(bytes).index;
  }

  /** Used, allocated slots and zspages of a class, by its merged index. */
  classCounts(index: number): { used: number; allocated: number; zspages: number } {
    const sizeClass = this.#classAt(index);
    const { used, allocated, objs } = sizeClass;
    return { used, allocated, zspages: allocated / objs };
  }

  /** Serials of the zspages of each group's list, head first, by the class's merged index. */
  groupLists(index: number): number[][] {
    return this.#classAt(index).groups.map((list) => list.toArray().map((z) => z.serial));
  }

  /** Serials of the zspages on the LRU, front to tail. */
  lru(): number[] {
    return this.#lru.toArray().map((zspage) => zspage.serial);
  }

  /** Zspages are numbered from 0 in the order of creation. */
  place(id: number): { zspage: number; slot: number } {
    const object = this.object(id);
    return { zspage: object.zspage.serial, slot: object.slot };
  }

  // ---- malloc and free (section 6)

  protected override put(id: number, bytes: number): ZsObject {
    const sizeClass = this.#classOf(bytes);
    // M1
    let zspage: Zspage | undefined;
    for (const group of this.#fullestFirst()) {
      zspage = sizeClass.groups[group]?.head;
      if (zspage !== undefined) break;
    }
    const isNew = zspage === undefined;
    zspage ??= this.#newZspage(sizeClass);
    const slot = this.#takeSlot(zspage);
    const object: ZsObject = { id, bytes, zspage, slot, maps: 0 };
    zspage.slots[slot] = object;
    zspage.inuse++;
    sizeClass.used++;
    if (isNew)
      this.#insert(zspage); // M3
    else this.#reevaluate(zspage); // M2
    return object;
  }

  protected override remove({ zspage, slot }: ZsObject): void {
    zspage.sizeClass.used--;
    zspage.slots[slot] = undefined;
    zspage.inuse--;
    if (zspage.underReclaim) return; // D2, E5
    zspage.freeSlots.push(slot); // F2
    // D1
    if (zspage.inuse === 0) {
      this.#takeOut(zspage);
      this.#giveBack(zspage);
    } else {
      this.#reevaluate(zspage);
    }
  }

  // ---- reclaim (section 10); E10: frames are counted, k per success

  protected override victim(): Zspage | undefined {
    return this.#lru.findFromTail((zspage) => !this.#isMapped(zspage));
  }

  // E2
  protected override isolate(zspage: Zspage): void {
    this.#lru.remove(zspage);
    this.#takeOut(zspage);
    zspage.underReclaim = true;
  }

  // E3, E4
  protected override residents(zspage: Zspage): ZsObject[] {
    return zspage.slots.filter((object) => object !== undefined);
  }

  protected override release(zspage: Zspage): number {
    zspage.underReclaim = false; // E6
    // E7
    if (zspage.inuse === 0) {
      this.#giveBack(zspage);
      return zspage.sizeClass.pages;
    }
    // E9
    zspage.freeSlots = [];
    for (let slot = zspage.sizeClass.objs - 1; slot >= 0; slot--) {
      if (zspage.slots[slot] === undefined) zspage.freeSlots.push(slot);
    }
    this.#insert(zspage);
    this.#lru.insertHead(zspage);
    return 0;
  }

  // ---- compaction (sections 7 and 8)

  override compact(): number {
    let freed = 0;
    for (const sizeClass of this.#kept) {
      freed += this.fullnessGroups === 12 ? this.#compactClass12(sizeClass) : this.#compactClass4(sizeClass);
    }
    return freed;
  }

  override freeable(): number {
    let frames = 0;
    for (const sizeClass of this.#kept) frames += this.#freeableZspages(sizeClass) * sizeClass.pages;
    return frames;
  }

  // K2
  #compactClass12(sizeClass: SizeClass): number {
    let freed = 0;
    let destination: Zspage | undefined;
    while (this.#freeableZspages(sizeClass) > 0) {
      destination ??= this.#takeHead(sizeClass, this.#fullestFirst());
      if (destination === undefined) break;
      const source = this.#takeHead(sizeClass, this.#emptiestFirst());
      if (source === undefined) break;
      if (this.#isMapped(source)) {
        this.#insert(source); // K8
        break;
      }
      for (let slot = 0; slot < sizeClass.objs; slot++) {
        if (source.slots[slot] === undefined) continue;
        if (this.#isFull(destination)) break;
        this.#move(source, slot, destination);
      }
      if (source.inuse === 0) {
        this.#giveBack(source);
        freed += sizeClass.pages;
      } else {
        this.#insert(source);
      }
      if (this.#isFull(destination)) {
        this.#insert(destination);
        destination = undefined;
      }
    }
    if (destination !== undefined) this.#insert(destination); // K3
    return freed;
  }

  // J2
  #compactClass4(sizeClass: SizeClass): number {
    let freed = 0;
    for (;;) {
      const source = this.#takeHead(sizeClass, this.#emptiestFirst());
      if (source === undefined) return freed;
      if (this.#isMapped(source) || this.#freeableZspages(sizeClass) === 0) {
        this.#insert(source); // K8, J2.2
        return freed;
      }
      // J2.3
      let slot = 0;
      let destination: Zspage | undefined;
      for (;;) {
        destination = this.#takeHead(sizeClass, this.#fullestFirst());
        if (destination === undefined) break;
        while (slot < sizeClass.objs) {
          if (source.slots[slot] !== undefined) {
            if (this.#isFull(destination)) break;
            this.#move(source, slot, destination);
          }
          slot++;
        }
        if (slot === sizeClass.objs) break;
        this.#insert(destination);
      }
      if (destination === undefined) {
        this.#insert(source); // J2.4
        return freed;
      }
      // J2.5
      this.#insert(destination);
      this.#giveBack(source);
      freed += sizeClass.pages;
    }
  }

  // K1, as a number of zspages
  #freeableZspages(sizeClass: SizeClass): number {
    return Math.floor((sizeClass.allocated - sizeClass.used) / sizeClass.objs);
  }

  // K2.3, K2a
  #move(source: Zspage, from: number, destination: Zspage): void {
    const object = source.slots[from];
    if (object === undefined) throw new Error('no object to move');
    const to = this.#takeSlot(destination);
    destination.slots[to] = object;
    destination.inuse++;
    object.zspage = destination;
    object.slot = to;
    source.slots[from] = undefined;
    source.freeSlots.push(from);
    source.inuse--;
    this.#copies++;
  }

  // ---- what tests look at

  // Q2
  placement(id: number): number {
    const object = this.object(id);
    return object.slot + 1024 * object.zspage.sizeClass.index;
  }

  where(id: number): number {
    const object = this.object(id);
    return object.zspage.serial * 1024 + object.slot;
  }

  check(): void {
    let objects = 0;
    let pages = 0;
    let listed = 0;
    let out = 0;
    const used = new Map<SizeClass, number>();
    const allocated = new Map<SizeClass, number>();
    for (const zspage of this.#zspages) {
      const sizeClass = zspage.sizeClass;
      pages += sizeClass.pages;
      allocated.set(sizeClass, (allocated.get(sizeClass) ?? 0) + sizeClass.objs);
      let inuse = 0;
      for (let slot = 0; slot < sizeClass.objs; slot++) {
        const object = zspage.slots[slot];
        if (object === undefined) continue;
        inuse++;
        invariant(this.live.get(object.id) === object, 'a slot holds a live object');
        invariant(object.zspage === zspage && object.slot === slot, 'an object knows its place');
        invariant(this.#classOf(object.bytes) === sizeClass, 'C6: the class of its size');
      }
      objects += inuse;
      used.set(sizeClass, (used.get(sizeClass) ?? 0) + inuse);
      invariant(inuse === zspage.inuse, 'inuse counts the allocated slots');
      const free = new Set(zspage.freeSlots);
      invariant(free.size === zspage.freeSlots.length, 'F2: a free slot is listed once');
      for (const slot of free) {
        invariant(slot < sizeClass.objs && zspage.slots[slot] === undefined, 'F2: it is free');
      }
      if (zspage.underReclaim) {
        out++;
        invariant(zspage.group === undefined, 'E2: no group while under reclaim');
        invariant(!this.#lru.has(zspage), 'E2: not on the LRU while under reclaim');
        continue;
      }
      invariant(free.size + inuse === sizeClass.objs, 'F2: every free slot is listed');
      invariant(inuse > 0, 'D1: no empty zspage');
      invariant(zspage.group === this.#groupOf(zspage), 'L4: the remembered group is right');
      invariant(sizeClass.groups[zspage.group ?? 0]?.has(zspage) === true, 'L1: it is listed there');
    }
    for (const sizeClass of this.#kept) {
      for (const list of sizeClass.groups) listed += list.size;
      invariant(sizeClass.used === (used.get(sizeClass) ?? 0), 'M4: used');
      invariant(sizeClass.allocated === (allocated.get(sizeClass) ?? 0), 'M4: allocated');
    }
    invariant(listed + out === this.#zspages.size, 'L1: every zspage is on one list');
    invariant(objects === this.live.size, 'every object is in a slot');
    invariant(pages === this.#pages, 'M4: pages');
    for (const zspage of this.#lru.toArray()) {
      invariant(this.#zspages.has(zspage), 'U3: a freed zspage is not on the LRU');
    }
  }

  // ---- zspages

  #newZspage(sizeClass: SizeClass): Zspage {
    const freeSlots: number[] = [];
    for (let slot = sizeClass.objs - 1; slot >= 0; slot--) freeSlots.push(slot); // F1
    const zspage: Zspage = {
      serial: this.#nextSerial++,
      sizeClass,
      slots: new Array<ZsObject | undefined>(sizeClass.objs).fill(undefined),
      freeSlots,
      inuse: 0,
      group: undefined,
      underReclaim: false,
    };
    this.#zspages.add(zspage);
    sizeClass.allocated += sizeClass.objs;
    this.#pages += sizeClass.pages;
    return zspage;
  }

  /** Gives back a zspage that is off its group list: off the LRU, frames back (D1, K2a). */
  #giveBack(zspage: Zspage): void {
    if (this.#lru.has(zspage)) this.#lru.remove(zspage); // U3
    this.#zspages.delete(zspage);
    zspage.sizeClass.allocated -= zspage.sizeClass.objs;
    this.#pages -= zspage.sizeClass.pages;
  }

  #takeSlot(zspage: Zspage): number {
    const slot = zspage.freeSlots.pop();
    if (slot === undefined) throw new Error('no free slot');
    return slot;
  }

  #isFull(zspage: Zspage): boolean {
    return zspage.inuse === zspage.sizeClass.objs; // F3
  }

  #isMapped(zspage: Zspage): boolean {
    return zspage.slots.some((object) => object !== undefined && object.maps > 0);
  }

  // ---- groups and lists (sections 4 and 5)

  #groupOf(zspage: Zspage): number {
    const { inuse } = zspage;
    const n = zspage.sizeClass.objs;
    if (inuse === 0) return 0;
    if (inuse === n) return this.fullnessGroups - 1;
    if (this.fullnessGroups === 12) return 1 + Math.floor(Math.floor((100 * inuse) / n) / 10); // G1
    return inuse <= Math.floor((3 * n) / 4) ? 1 : 2; // G2
  }

  // G3
  #emptiestFirst(): number[] {
    return this.fullnessGroups === 12 ? [1, 2, 3, 4, 5, 6, 7, 8, 9, 10] : [1, 2];
  }

  #fullestFirst(): number[] {
    return this.#emptiestFirst().reverse();
  }

  /** L2, L3, L5. */
  #insert(zspage: Zspage): void {
    const group = this.#groupOf(zspage);
    const list = zspage.sizeClass.groups[group];
    if (list === undefined) throw new Error('no such group');
    const head = list.head;
    const second = this.fullnessGroups === 4 && head !== undefined && zspage.inuse < head.inuse;
    if (second) list.insertSecond(zspage);
    else list.insertHead(zspage);
    zspage.group = group;
  }

  #takeOut(zspage: Zspage): void {
    if (zspage.group === undefined) throw new Error('not listed');
    zspage.sizeClass.groups[zspage.group]?.remove(zspage);
    zspage.group = undefined;
  }

  /** Takes out the head of the first of these groups that has one. */
  #takeHead(sizeClass: SizeClass, groups: number[]): Zspage | undefined {
    for (const group of groups) {
      const head = sizeClass.groups[group]?.head;
      if (head === undefined) continue;
      this.#takeOut(head);
      return head;
    }
    return undefined;
  }

  // L4
  #reevaluate(zspage: Zspage): void {
    if (this.#groupOf(zspage) === zspage.group) return;
    this.#takeOut(zspage);
    this.#insert(zspage);
  }

  // ---- LRU

  // U2, U4, U5
  protected override written({ zspage }: ZsObject): void {
    if (zspage.underReclaim) return;
    if (this.#lru.has(zspage)) this.#lru.remove(zspage);
    this.#lru.insertHead(zspage);
  }

  // ---- lookups

  // C6
  #classOf(bytes: number): SizeClass {
    const slotSize = bytes + WORD;
    const wanted = slotSize <= MIN_CLASS ? 0 : Math.ceil((slotSize - MIN_CLASS) / CLASS_STEP);
    return this.#classAt(Math.min(LAST_INDEX, wanted));
  }

  #classAt(index: number): SizeClass {
    const sizeClass = this.#classes[index];
    if (sizeClass === undefined) throw new Error(`no class ${index}`);
    return sizeClass;
  }
}
