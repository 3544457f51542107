/**
 * z3fold as a plain model: up to three objects in a frame, FIRST from the left, LAST from the
 * right, MIDDLE between them; or one headless object in a frame of its own.
 *
 * Follows docs/rules/zbud-z3fold.md section 2 (rules Z1 to Z22; Z23 and Z24, handle tables, show in
 * no figure and are not modelled). 32-bit geometry is one header chunk; two give the 64-bit one.
 * Passing over frames with a mapped object, and the error codes, are R1 to R5.
 *
 * Where the texts leave room:
 * - An evict callback that calls shrink: deferred work still waits for the outermost reclaim (Z13).
 * - compact() and freeable() are ours: the original has neither.
 * - Every frame on the LRU has a mapped object or a guest: EINVAL, nothing evictable, as R4
 *   has it for every allocator (Z19: EAGAIN for guests); after a failed try EAGAIN.
 * - Work that a callback starts on a frame under reclaim leaves it alone, empty or not (Z14.2, 3).
 */
import { BaseModel } from './base.ts';
import type { LiveObject } from './base.ts';
import { invariant, List, PAGE_SIZE } from './types.ts';
import type { Evict } from './types.ts';

const CHUNK = 64;
const PAGE_CHUNKS = PAGE_SIZE / CHUNK;
/** Z15: a smaller gap is not worth a slide. */
const MIN_SLIDE_CHUNKS = 3;

export interface Z3foldModelOptions {
  /** 'afterFree' is the rule of Z13; with 'manual' only runDeferred() and compact() do the work. */
  deferred?: 'afterFree' | 'manual';
  /** 1: 32-bit geometry (N = 63); 2: 64-bit (N = 62). */
  headerChunks?: 1 | 2;
}

type Slot = 'first' | 'middle' | 'last';

/** Z3 */
interface Page {
  readonly serial: number;
  /** The order of compact(): its serial, until renumber(). */
  number: number;
  headless: Resident | undefined;
  first: Resident | undefined;
  middle: Resident | undefined;
  last: Resident | undefined;
  startMiddle: number;
  guests: number;
  pending: boolean;
  underReclaim: boolean;
  /** The gap list that holds it. */
  list: List<Page> | undefined;
}

/** An object. */
interface Resident extends LiveObject {
  readonly chunks: number;
  page: Page;
  isGuest: boolean;
}

export class Z3foldModel extends BaseModel<Resident, Page> {
  readonly maxSize = PAGE_SIZE;
  readonly headerChunks: number; // H
  readonly usableChunks: number; // N
  readonly maxBuddied: number; // Z2
  /** Z15, Z16: objects moved to another frame; MIDDLEs slid; MIDDLEs that became FIRST. */
  readonly counts = { moves: 0, slides: 0, renames: 0 };
  readonly #deferred: 'afterFree' | 'manual';
  /** Index k: frames whose gap is k chunks; 0 is never searched. */
  readonly #gapLists: List<Page>[] = [];
  /** Head = front = newest. */
  readonly #lru = new List<Page>();
  /** The FIFO of deferred work: head = newest. */
  readonly #work = new List<Page>();
  readonly #pages = new Set<Page>();
  #nextSerial = 0;
  #reclaimDepth = 0;

  constructor(options: Z3foldModelOptions = {}) {
    super();
    this.#deferred = options.deferred ?? 'afterFree';
    this.headerChunks = options.headerChunks ?? 1;
    this.usableChunks = PAGE_CHUNKS - this.headerChunks;
    this.maxBuddied = PAGE_SIZE - CHUNK * this.headerChunks - CHUNK;
    for (let gap = 0; gap < this.usableChunks; gap++) this.#gapLists.push(new List());
  }

  get pages(): number {
    return this.#pages.size;
  }

  // ---- malloc, free

  // Z9
  protected override put(id: number, bytes: number): Resident {
    const isHeadless = bytes > this.maxBuddied;
    const chunks = Math.ceil(bytes / CHUNK);
    const page = (isHeadless ? undefined : this.#search(chunks)) ?? this.#newPage();
    const object: Resident = { id, bytes, chunks, page, isGuest: false, maps: 0 };
    if (isHeadless) {
      page.headless = object;
    } else {
      this.#settle(page, object);
      this.#listPage(page);
    }
    if (this.#lru.has(page)) this.#lru.remove(page);
    this.#lru.insertHead(page);
    return object;
  }

  // Z10
  protected override remove(object: Resident): void {
    const { page } = object;
    this.#clear(page, object);
    if (object.isGuest) page.guests--;
    if (page.underReclaim) return;
    if (!page.pending) {
      if (this.#isEmpty(page)) {
        this.#giveBack(page);
      } else if (page.list === undefined) {
        this.#workOn(page); // Z12
      } else {
        page.pending = true;
        this.#work.insertHead(page);
      }
    }
    this.#runAfterCall();
  }

  // ---- deferred work

  /** Z13: oldest first, until none is left. */
  override runDeferred(): void {
    for (;;) {
      const page = this.#work.findFromTail(() => true);
      if (page === undefined) return;
      this.#workOn(page);
    }
  }

  /**
   * Not in the original: the deferred work, then Z14 on every page with a lone object that hosts no guest, in the order
   * of frame numbers. Objects that found no room when they became lone, or were a target since, get another chance.
   */
  override compact({ victims = Infinity }: { victims?: number } = {}): number {
    const before = this.pages;
    this.runDeferred();
    const left = this.pages;
    for (const page of [...this.#pages].sort((a, b) => a.number - b.number)) {
      if (left - this.pages >= victims) break;
      if (this.#isLone(page)) this.#workOn(page);
    }
    return before - this.pages;
  }

  /**
   * Not in the original, an upper bound: pages without objects, and those with a lone object that hosts no guest,
   * unless no listed page has room for it. Its own page may be that one; deferred work, or a lone MIDDLE, can make room
   * anywhere.
   */
  override freeable(): number {
    const anyRoom = this.#work.size > 0;
    let frames = 0;
    for (const page of this.#pages) {
      const chunks = (page.first?.chunks ?? 0) + (page.last?.chunks ?? 0);
      if (this.#isEmpty(page)) frames++;
      else if (this.#isLone(page) && (anyRoom || this.#hasRoom(chunks))) frames++;
    }
    return frames;
  }

  override renumber(framesOf: (id: number) => readonly number[]): void {
    for (const object of this.live.values()) object.page.number = framesOf(object.id)[0] ?? -1;
  }

  // ---- reclaim

  override reclaim(tries: number, evict?: Evict): number {
    this.#reclaimDepth++;
    const result = super.reclaim(tries, evict);
    this.#reclaimDepth--;
    this.#runAfterCall(); // Z22
    return result;
  }

  // Z19
  protected override victim(): Page | undefined {
    return this.#lru.findFromTail((page) => page.guests === 0 && !this.#isMapped(page));
  }

  // Z20
  protected override isolate(page: Page): void {
    this.#unlist(page);
    this.#lru.remove(page);
    page.underReclaim = true;
  }

  protected override residents(page: Page): Resident[] {
    return [page.headless, page.middle, page.first, page.last].filter((object) => object !== undefined);
  }

  // Z21
  protected override release(page: Page): number {
    page.underReclaim = false;
    if (this.#isEmpty(page)) {
      this.#giveBack(page);
      return 1;
    }
    this.#lru.insertHead(page);
    if (page.headless === undefined) this.#listPage(page);
    return 0;
  }

  // ---- where things are

  placement(id: number): number {
    const object = this.object(id);
    const { page } = object;
    if (page.headless === object) return 0;
    return this.#start(page, object) * CHUNK;
  }

  where(id: number): number {
    const placement = this.placement(id);
    return this.object(id).page.serial * PAGE_SIZE + placement;
  }

  /** Frames front to back of the LRU, each as the ids of FIRST, MIDDLE, LAST (0 = empty). */
  lru(): [first: number, middle: number, last: number][] {
    return this.#lru
      .toArray()
      .map((page) => [(page.headless ?? page.first)?.id ?? 0, page.middle?.id ?? 0, page.last?.id ?? 0]);
  }

  check(): void {
    let residents = 0;
    let listed = 0;
    let pending = 0;
    let claimed = 0;
    for (const page of this.#pages) {
      const objects = this.#present(page);
      residents += objects.length;
      for (const object of objects) {
        invariant(this.live.get(object.id) === object, 'a slot holds a live object');
        invariant(object.page === page, 'an object knows its page');
      }
      const guests = objects.filter((object) => object.isGuest).length;
      invariant(page.guests === guests, 'Z17: the guest count is the number of guests');
      if (page.pending) pending++;
      invariant(this.#work.has(page) === page.pending, 'Z10: pending pages are in the FIFO');
      if (page.list !== undefined) {
        listed++;
        invariant(page.list.has(page), 'on the list it names');
      }
      if (page.underReclaim) {
        claimed++;
        invariant(page.list === undefined, 'Z20: no list while under reclaim');
        invariant(!this.#lru.has(page), 'Z20: not on the LRU while under reclaim');
        continue;
      }
      invariant(this.#lru.has(page), 'Z9: on the LRU');
      invariant(page.pending || objects.length > 0, 'Z10: an empty page waits for its work');
      if (page.headless !== undefined) {
        invariant(objects.length === 1, 'Z2: a headless object is alone');
        invariant(page.list === undefined && !page.pending, 'Z2: headless is on the LRU only');
        continue;
      }
      this.#checkLayout(page);
      if (!page.pending) {
        const list = this.#isFull(page) ? undefined : this.#gapLists[this.#gap(page)];
        invariant(page.list === list, 'Z5: on the list of its gap, or full and on none');
      }
    }
    let onLists = 0;
    for (const list of this.#gapLists) onLists += list.size;
    invariant(residents === this.live.size, 'every object is in a slot');
    invariant(listed === onLists, 'nothing else is on a gap list');
    invariant(pending === this.#work.size, 'nothing else is in the FIFO');
    invariant(this.#lru.size + claimed === this.#pages.size, 'nothing else is on the LRU');
  }

  #checkLayout(page: Page): void {
    let end = this.headerChunks;
    for (const object of [page.first, page.middle, page.last]) {
      if (object === undefined) continue;
      const start = this.#start(page, object);
      invariant(start >= end, 'Z1: the objects of a page do not overlap');
      end = start + object.chunks;
    }
    invariant(end <= PAGE_CHUNKS, 'Z1: the objects stay in the page');
  }

  // ---- pages

  #newPage(): Page {
    const page: Page = {
      serial: this.#nextSerial,
      number: this.#nextSerial++,
      headless: undefined,
      first: undefined,
      middle: undefined,
      last: undefined,
      startMiddle: 0,
      guests: 0,
      pending: false,
      underReclaim: false,
      list: undefined,
    };
    this.#pages.add(page);
    return page;
  }

  #giveBack(page: Page): void {
    this.#unlist(page);
    if (this.#lru.has(page)) this.#lru.remove(page);
    if (this.#work.has(page)) this.#work.remove(page);
    page.pending = false;
    this.#pages.delete(page);
  }

  #present(page: Page): Resident[] {
    const slots = [page.headless, page.first, page.middle, page.last];
    return slots.filter((object) => object !== undefined);
  }

  #isEmpty(page: Page): boolean {
    return this.#present(page).length === 0;
  }

  #isFull(page: Page): boolean {
    return page.first !== undefined && page.middle !== undefined && page.last !== undefined;
  }

  #isMapped(page: Page): boolean {
    return this.#present(page).some((object) => object.maps > 0);
  }

  /** True when a page's one object may move away, maps aside (Z14.4, Z17). */
  #isLone(page: Page): boolean {
    return !page.underReclaim && page.headless === undefined && page.guests === 0 && this.#present(page).length === 1;
  }

  /** In chunks from the page start (Z1). */
  #start(page: Page, object: Resident): number {
    if (page.first === object) return this.headerChunks;
    if (page.last === object) return PAGE_CHUNKS - object.chunks;
    return page.startMiddle;
  }

  #clear(page: Page, object: Resident): void {
    if (page.headless === object) page.headless = undefined;
    else if (page.first === object) page.first = undefined;
    else if (page.last === object) page.last = undefined;
    else page.middle = undefined;
  }

  // ---- lists and search

  // Z4
  #gap(page: Page): number {
    const { first, middle, last } = page;
    if (middle === undefined) {
      return this.usableChunks - (first?.chunks ?? 0) - (last?.chunks ?? 0);
    }
    const before = first === undefined ? page.startMiddle - this.headerChunks : 0;
    const after = last === undefined ? PAGE_CHUNKS - page.startMiddle - middle.chunks : 0;
    return Math.max(before, after);
  }

  // Z5
  #listPage(page: Page): void {
    if (this.#isFull(page)) return;
    page.list = this.#gapLists[this.#gap(page)];
    page.list?.insertHead(page);
  }

  #unlist(page: Page): void {
    page.list?.remove(page);
    page.list = undefined;
  }

  // Z6
  #search(chunks: number): Page | undefined {
    for (;;) {
      const page = this.#firstListed(chunks);
      if (page === undefined) return undefined;
      this.#unlist(page);
      if (!page.pending && !page.underReclaim) return page;
    }
  }

  #hasRoom(chunks: number): boolean {
    return this.#gapLists.some((list, gap) => gap >= chunks && list.size > 0);
  }

  #firstListed(chunks: number): Page | undefined {
    for (let gap = chunks; gap < this.usableChunks; gap++) {
      const page = this.#gapLists[gap]?.head;
      if (page !== undefined) return page;
    }
    return undefined;
  }

  // Z7
  #chooseSlot(page: Page, chunks: number): Slot {
    if (page.middle === undefined) {
      if (page.first === undefined) return 'first';
      return page.last === undefined ? 'last' : 'middle';
    }
    const fitsFirst = chunks <= page.startMiddle - this.headerChunks;
    return page.first === undefined && fitsFirst ? 'first' : 'last';
  }

  // Z8
  #settle(page: Page, object: Resident): void {
    const slot = this.#chooseSlot(page, object.chunks);
    page[slot] = object;
    if (slot === 'middle') page.startMiddle = this.headerChunks + (page.first?.chunks ?? 0);
  }

  // ---- the work on one page

  #runAfterCall(): void {
    if (this.#deferred === 'afterFree' && this.#reclaimDepth === 0) this.runDeferred();
  }

  // Z14
  #workOn(page: Page): void {
    if (this.#work.has(page)) this.#work.remove(page);
    page.pending = false;
    this.#unlist(page);
    if (page.underReclaim) return;
    if (this.#isEmpty(page)) {
      this.#giveBack(page);
      return;
    }
    if (this.#isLone(page) && !this.#isMapped(page) && this.#moveAway(page)) {
      this.#giveBack(page);
      return;
    }
    this.#compactInPage(page);
    this.#listPage(page);
  }

  // Z16
  #moveAway(page: Page): boolean {
    const [object] = this.#present(page);
    if (object === undefined) return false;
    const target = this.#search(object.chunks);
    if (target === undefined) return false;
    this.#clear(page, object);
    this.#settle(target, object);
    object.page = target;
    object.isGuest = true;
    target.guests++;
    this.#listPage(target);
    this.counts.moves++;
    return true;
  }

  // Z15
  #compactInPage(page: Page): void {
    const { first, middle, last } = page;
    if (middle === undefined || middle.maps > 0) return;
    if (first === undefined && last === undefined) {
      page.first = middle;
      page.middle = undefined;
      page.startMiddle = 0;
      this.counts.renames++;
      return;
    }
    let start = page.startMiddle;
    if (last === undefined) start = this.headerChunks + (first?.chunks ?? 0);
    else if (first === undefined) start = PAGE_CHUNKS - last.chunks - middle.chunks;
    if (Math.abs(page.startMiddle - start) < MIN_SLIDE_CHUNKS) return;
    page.startMiddle = start;
    this.counts.slides++;
  }
}
