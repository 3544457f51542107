/**
 * The places of a server: so many clients at a time, and what happens when all are taken.
 *
 * A newcomer then gets the place of the client that has been idle the longest, among those that have not come to use anything
 * yet. Where all clients are in use none is dropped: the newcomer is told that there is no place, and closed.
 */

/** The most clients that are being told so at a time. They give way to each other. */
const MAX_TURNED_AWAY = 16;

export interface LimitedClient {
  /** Resolves when it is gone. */
  readonly done: Promise<void>;
  /** Since when it has been idle (performance.now()); undefined while it may not be dropped. */
  readonly idleSince: number | undefined;
  /** Drops it now. */
  destroy(): void;
}

export class ClientLimit<T extends LimitedClient> {
  readonly #max: number;
  readonly #guests = new Set<T>();
  readonly #turnedAway = new Set<LimitedClient>();

  constructor(max: number) {
    this.#max = max;
  }

  /** Those who have a place. */
  get guests(): readonly T[] {
    return [...this.#guests];
  }

  /** Those who are just being told that there is none. */
  get turnedAway(): readonly LimitedClient[] {
    return [...this.#turnedAway];
  }

  /** Gives a newcomer a place by `take`, or has it told by `turnAway` that there is none. */
  admit(take: () => T, turnAway: () => LimitedClient): void {
    if (this.#guests.size < this.#max || dropIdlest(this.#guests)) return keep(this.#guests, take());
    if (this.#turnedAway.size >= MAX_TURNED_AWAY) dropIdlest(this.#turnedAway);
    keep(this.#turnedAway, turnAway());
  }
}

function keep<T extends LimitedClient>(guests: Set<T>, guest: T): void {
  guests.add(guest);
  void guest.done.then(() => guests.delete(guest));
}

/** Drops the one that has been idle the longest; false when none may be dropped. */
function dropIdlest<T extends LimitedClient>(guests: Set<T>): boolean {
  let idlest: T | undefined;
  for (const guest of guests) {
    if (guest.idleSince !== undefined && guest.idleSince < (idlest?.idleSince ?? Infinity)) idlest = guest;
  }
  if (idlest === undefined) return false;
  guests.delete(idlest);
  idlest.destroy();
  return true;
}
