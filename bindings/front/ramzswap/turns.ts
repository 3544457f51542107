/**
 * The turns of writes: pages that wait for the store, or for writes of the same page before them. A write that is taken out
 * leads to nothing. Knows page numbers only.
 */

/** A write that waits for its turn, or for the store. */
export interface Turn {
  /** When it has ended, or was taken out. */
  over: Promise<void>;
  end: () => void;
}

export class Turns {
  /** By page, oldest first. */
  readonly #coming = new Map<number, Turn[]>();

  /** Pages with writes under way. */
  get size(): number {
    return this.#coming.size;
  }

  /** Whether a write of that page is under way. */
  has(index: number): boolean {
    return this.#coming.has(index);
  }

  /** A turn of that page, behind those that are there. */
  enqueue(index: number): Turn {
    let end = (): void => undefined;
    const over = new Promise<void>((resolve) => (end = resolve));
    const turn = { over, end };
    const turns = this.#coming.get(index);
    if (turns === undefined) this.#coming.set(index, [turn]);
    else turns.push(turn);
    return turn;
  }

  /** Whether that write was not taken out. */
  isComing(index: number, turn: Turn): boolean {
    return this.#coming.get(index)?.includes(turn) === true;
  }

  isFirst(index: number, turn: Turn): boolean {
    return this.#coming.get(index)?.[0] === turn;
  }

  /** Waits until no write of the page is before this one, or this one was taken out. */
  async untilFirst(index: number, turn: Turn): Promise<void> {
    for (
      let turns = this.#coming.get(index);
      turns?.includes(turn) === true && turns[0] !== turn;
      turns = this.#coming.get(index)
    ) {
      await Promise.race([(turns[0] as Turn).over, turn.over]);
    }
  }

  /** Ends a turn; it need not be there any more. */
  leave(index: number, turn: Turn): void {
    turn.end();
    const turns = this.#coming.get(index)?.filter((other) => other !== turn);
    if (turns === undefined || turns.length === 0) this.#coming.delete(index);
    else this.#coming.set(index, turns);
  }

  /** Takes out the writes of a page up to one, which has ended; without it, all. */
  takeOut(index: number, last?: Turn): void {
    const turns = this.#coming.get(index) ?? [];
    const count = last === undefined ? turns.length : turns.indexOf(last) + 1;
    for (const turn of turns.slice(0, count)) this.leave(index, turn);
  }

  /** Takes out all writes of the pages from `first` until before `end`. */
  takeOutRange(first: number, end: number): void {
    for (const index of this.#coming.keys()) if (index >= first && index < end) this.takeOut(index);
  }
}
