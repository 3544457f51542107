/**
 * The queue of writes that wait: of pages that go to the store, and of those behind an earlier write of the same page. A write
 * that is cancelled changes nothing. Knows page numbers only.
 */

/** A write in the queue. */
export interface QueuedWrite {
  /** Resolves when it has ended, or was cancelled. */
  over: Promise<void>;
  end: () => void;
}

export class WriteQueue {
  /** By page, oldest first. */
  readonly #pages = new Map<number, QueuedWrite[]>();

  /** Pages with writes in the queue. */
  get size(): number {
    return this.#pages.size;
  }

  /** Whether a write of that page is in the queue. */
  has(index: number): boolean {
    return this.#pages.has(index);
  }

  /** A write of that page, behind those that are there. */
  enqueue(index: number): QueuedWrite {
    let end = (): void => undefined;
    const over = new Promise<void>((resolve) => (end = resolve));
    const queued = { over, end };
    const writes = this.#pages.get(index);
    if (writes === undefined) this.#pages.set(index, [queued]);
    else writes.push(queued);
    return queued;
  }

  /** False when that write has ended or was cancelled. */
  isQueued(index: number, queued: QueuedWrite): boolean {
    return this.#pages.get(index)?.includes(queued) === true;
  }

  isFirst(index: number, queued: QueuedWrite): boolean {
    return this.#pages.get(index)?.[0] === queued;
  }

  /** Waits until no write of the page is before this one, or this one was cancelled. */
  async untilFirst(index: number, queued: QueuedWrite): Promise<void> {
    for (
      let writes = this.#pages.get(index);
      writes?.includes(queued) === true && writes[0] !== queued;
      writes = this.#pages.get(index)
    ) {
      await Promise.race([(writes[0] as QueuedWrite).over, queued.over]);
    }
  }

  /** Takes a write out that has ended; it need not be there any more. */
  leave(index: number, queued: QueuedWrite): void {
    queued.end();
    const writes = this.#pages.get(index)?.filter((other) => other !== queued);
    if (writes === undefined || writes.length === 0) this.#pages.delete(index);
    else this.#pages.set(index, writes);
  }

  /** Cancels the writes of a page up to one, which has ended; without it, all. */
  cancel(index: number, last?: QueuedWrite): void {
    const writes = this.#pages.get(index) ?? [];
    const count = last === undefined ? writes.length : writes.indexOf(last) + 1;
    for (const queued of writes.slice(0, count)) this.leave(index, queued);
  }

  /** Cancels the writes of pages `first` up to `end`, without it. */
  cancelRange(first: number, end: number): void {
    for (const index of this.#pages.keys()) if (index >= first && index < end) this.cancel(index);
  }
}
