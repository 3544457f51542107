/**
 * The queue of writes that wait: writes to the store, and writes behind an earlier write of the same page. A cancelled
 * write changes nothing. The queue knows only page numbers.
 */

/** A write in the queue. */
export interface QueuedWrite {
  /** Resolves when the write has ended or was cancelled. */
  over: Promise<void>;
  end: () => void;
}

export class WriteQueue {
  /** Writes by page, oldest first. */
  readonly #pages = new Map<number, QueuedWrite[]>();

  /** How many pages have writes in the queue. */
  get size(): number {
    return this.#pages.size;
  }

  /** True when a write of this page is in the queue. */
  has(index: number): boolean {
    return this.#pages.has(index);
  }

  /** Adds a write of this page behind those in the queue. */
  enqueue(index: number): QueuedWrite {
    let end = (): void => undefined;
    const over = new Promise<void>((resolve) => (end = resolve));
    const queued = { over, end };
    const writes = this.#pages.get(index);
    if (writes === undefined) this.#pages.set(index, [queued]);
    else writes.push(queued);
    return queued;
  }

  /** False when this write has ended or was cancelled. */
  isQueued(index: number, queued: QueuedWrite): boolean {
    return this.#pages.get(index)?.includes(queued) === true;
  }

  isFirst(index: number, queued: QueuedWrite): boolean {
    return this.#pages.get(index)?.[0] === queued;
  }

  /** Waits until this write is the first of its page, or was cancelled. */
  async untilFirst(index: number, queued: QueuedWrite): Promise<void> {
    for (
      let writes = this.#pages.get(index);
      writes?.includes(queued) === true && writes[0] !== queued;
      writes = this.#pages.get(index)
    ) {
      await Promise.race([(writes[0] as QueuedWrite).over, queued.over]);
    }
  }

  /** Removes a write that has ended. It may have been removed already. */
  leave(index: number, queued: QueuedWrite): void {
    queued.end();
    const writes = this.#pages.get(index)?.filter((other) => other !== queued);
    if (writes === undefined || writes.length === 0) this.#pages.delete(index);
    else this.#pages.set(index, writes);
  }

  /** Cancels the writes of a page up to `last`, which has ended. Without `last` it cancels all. */
  cancel(index: number, last?: QueuedWrite): void {
    const writes = this.#pages.get(index) ?? [];
    const count = last === undefined ? writes.length : writes.indexOf(last) + 1;
    for (const queued of writes.slice(0, count)) this.leave(index, queued);
  }

  /** Cancels the writes of the pages from `first` to `end` - 1. */
  cancelRange(first: number, end: number): void {
    for (const index of this.#pages.keys()) if (index >= first && index < end) this.cancel(index);
  }
}
