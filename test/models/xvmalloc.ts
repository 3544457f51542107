/**
 * xvmalloc as a plain model: blocks that tile a frame, merged with their neighbours when freed,
 * in 508 lists by size.
 *
 * Follows docs/rules/xvmalloc-xcfmalloc.md section 1 (rules X1 to X19). A frame is an array of
 * blocks in address order, so that headers, flags and previous offsets (X1, X12, X13, X18) need no
 * model. Reclaim is ours (the original had none): R7.
 *
 * Where R7 leaves room:
 * - A frame under reclaim is off the LRU; its free blocks keep their places in the lists and merge
 *   as ever, but malloc passes over them, so none made by an evict callback lands in it. It is a
 *   frame of the pool until its reclaim ends.
 * - Of the objects noted when the frame was taken, the callback is asked for those still alive.
 * - No frame on the LRU without a mapped object: EINVAL at the first try, EAGAIN later.
 * - shrink counts the frames that it emptied, not what callbacks free elsewhere.
 */
import { BaseModel } from './base.ts';
import type { LiveObject } from './base.ts';
import { invariant, List, PAGE_SIZE } from './types.ts';

const HEADER = 4;
const ALIGN = 4;
const LISTS = 508;
const LIST_STEP = 8;
/** X4: smaller free blocks are in no list. */
const MIN_LISTED = 32;

interface Frame {
  readonly serial: number;
  /** In address order. */
  readonly blocks: Block[];
  underReclaim: boolean;
}

interface Block {
  readonly frame: Frame;
  /** Of the header. */
  readonly offset: number;
  /** Without the header; of a used block the request rounded up to 4. */
  size: number;
  owner: Resident | undefined;
  list: List<Block> | undefined;
}

/** An object. */
interface Resident extends LiveObject {
  readonly block: Block;
}

// X5
function insertIndex(size: number): number {
  return Math.min(Math.floor((size - MIN_LISTED) / LIST_STEP), LISTS - 1);
}

// X6
function searchIndex(rounded: number): number {
  return Math.ceil((Math.max(rounded, MIN_LISTED) - MIN_LISTED) / LIST_STEP);
}

function roundUp(bytes: number): number {
  return Math.ceil(bytes / ALIGN) * ALIGN;
}

export class XvmallocModel extends BaseModel<Resident, Frame> {
  readonly maxSize = 4088; // X9
  readonly #lists: List<Block>[] = [];
  /** Head = front = newest. */
  readonly #lru = new List<Frame>();
  readonly #frames = new Set<Frame>();
  #nextSerial = 0;

  constructor() {
    super();
    for (let index = 0; index < LISTS; index++) this.#lists.push(new List());
  }

  // X19
  get pages(): number {
    return this.#frames.size;
  }

  protected override put(id: number, bytes: number): Resident {
    // X9
    const rounded = roundUp(bytes);
    const block = this.#find(rounded) ?? this.#newFrame();
    // X10
    this.#unlist(block);
    // X11, X12
    if (block.size > rounded) {
      const rest: Block = {
        frame: block.frame,
        offset: block.offset + HEADER + rounded,
        size: block.size - rounded - HEADER,
        owner: undefined,
        list: undefined,
      };
      block.size = rounded;
      const { blocks } = block.frame;
      blocks.splice(blocks.indexOf(block) + 1, 0, rest);
      this.#list(rest);
    }
    const object: Resident = { id, bytes, block, maps: 0 };
    block.owner = object;
    this.#touch(block.frame);
    return object;
  }

  protected override remove({ block }: Resident): void {
    block.owner = undefined;
    // X16
    const { frame } = block;
    const index = frame.blocks.indexOf(block);
    const next = frame.blocks[index + 1];
    const previous = frame.blocks[index - 1];
    let merged = block;
    if (next !== undefined && next.owner === undefined) this.#merge(merged, next);
    if (previous !== undefined && previous.owner === undefined) {
      this.#unlist(previous);
      this.#merge(previous, merged);
      merged = previous;
    }
    // X17, X18
    if (frame.blocks.length > 1) {
      this.#list(merged);
    } else if (!frame.underReclaim) {
      this.#frames.delete(frame);
      this.#lru.remove(frame);
    }
  }

  // ---- reclaim (R7)

  protected override victim(): Frame | undefined {
    return this.#lru.findFromTail((frame) => frame.blocks.every((block) => (block.owner?.maps ?? 0) === 0));
  }

  protected override isolate(frame: Frame): void {
    this.#lru.remove(frame);
    frame.underReclaim = true;
  }

  /** In address order. */
  protected override residents(frame: Frame): Resident[] {
    return frame.blocks.map((block) => block.owner).filter((owner) => owner !== undefined);
  }

  protected override release(frame: Frame): number {
    frame.underReclaim = false;
    if (this.residents(frame).length === 0) {
      this.#frames.delete(frame);
      return 1;
    }
    this.#lru.insertHead(frame);
    return 0;
  }

  // ---- where things are

  placement(id: number): number {
    const object = this.object(id);
    return object.block.offset + HEADER;
  }

  where(id: number): number {
    const placement = this.placement(id);
    const serial = this.live.get(id)?.block.frame.serial ?? 0;
    return serial * PAGE_SIZE + placement;
  }

  /** Frames front to back of the LRU, each as the ids of its objects in address order. */
  lru(): number[][] {
    return this.#lru.toArray().map((frame) => this.residents(frame).map((object) => object.id));
  }

  check(): void {
    let residents = 0;
    let listed = 0;
    let claimed = 0;
    for (const frame of this.#frames) {
      if (frame.underReclaim) claimed++;
      invariant(this.#lru.has(frame) !== frame.underReclaim, 'a frame is on the LRU or claimed');
      const isEmpty = this.residents(frame).length === 0;
      invariant(!isEmpty || frame.underReclaim, 'X3: no frame without a used block');
      let end = 0;
      let previousFree = false;
      for (const block of frame.blocks) {
        const isFree = block.owner === undefined;
        invariant(block.frame === frame, 'a block knows its frame');
        invariant(block.offset === end, 'X1: blocks tile the frame');
        invariant(block.offset % ALIGN === 0 && block.size % ALIGN === 0, 'X1: granule');
        invariant(!(isFree && previousFree), 'X3: no two adjacent free blocks');
        end = block.offset + HEADER + block.size;
        previousFree = isFree;
        if (block.owner !== undefined) {
          residents++;
          invariant(this.live.get(block.owner.id) === block.owner, 'a live owner');
          invariant(block.owner.block === block, 'the owner knows its block');
          invariant(block.size === roundUp(block.owner.bytes), 'X2: size of a used block');
        }
        const listIndex = isFree && !isEmpty && block.size >= MIN_LISTED ? insertIndex(block.size) : -1;
        invariant(block.list === this.#lists[listIndex], 'X4, X5: on the list of its size');
        if (block.list !== undefined) {
          listed++;
          invariant(block.list.has(block), 'X4: on the list it names');
        }
      }
      invariant(end === PAGE_SIZE, 'X1: blocks fill the frame');
    }
    let onLists = 0;
    for (const list of this.#lists) onLists += list.size;
    invariant(residents === this.live.size, 'every object has a block');
    invariant(listed === onLists, 'nothing else is on a list');
    invariant(this.#lru.size + claimed === this.#frames.size, 'nothing else is on the LRU');
  }

  // ---- blocks and lists

  #find(rounded: number): Block | undefined {
    for (let index = searchIndex(rounded); index < LISTS; index++) {
      const list = this.#lists[index];
      if (list?.head?.frame.underReclaim !== true && list?.head !== undefined) return list.head;
      const other = list?.toArray().find((block) => !block.frame.underReclaim);
      if (other !== undefined) return other;
    }
    return undefined;
  }

  #newFrame(): Block {
    const frame: Frame = { serial: this.#nextSerial++, blocks: [], underReclaim: false };
    const block: Block = {
      frame,
      offset: 0,
      size: PAGE_SIZE - HEADER,
      owner: undefined,
      list: undefined,
    };
    frame.blocks.push(block);
    this.#frames.add(frame);
    this.#list(block);
    return block;
  }

  /** `second` follows `first` directly and is merged into it. */
  #merge(first: Block, second: Block): void {
    this.#unlist(second);
    first.size += HEADER + second.size;
    const { blocks } = first.frame;
    blocks.splice(blocks.indexOf(second), 1);
  }

  // X4, X7
  #list(block: Block): void {
    if (block.size < MIN_LISTED) return;
    block.list = this.#lists[insertIndex(block.size)];
    block.list?.insertHead(block);
  }

  #unlist(block: Block): void {
    block.list?.remove(block);
    block.list = undefined;
  }

  // ---- the LRU

  #touch(frame: Frame): void {
    if (this.#lru.has(frame)) this.#lru.remove(frame);
    this.#lru.insertHead(frame);
  }
}
