/**
 * Limits the number of clients of a server.
 *
 * When the limit is reached and a new client connects, the client that was idle the longest is dropped. Only clients
 * that have not begun to use the server can be dropped. If there is none, the new client is refused: it gets a message,
 * and its connection ends.
 */

/** The most clients that may be refused at the same time. A newer one replaces the oldest. */
const MAX_REFUSED = 16;

export interface LimitedClient {
  /** Resolves when the client is gone. */
  readonly done: Promise<void>;
  /** Since when the client has been idle (performance.now()). Undefined while it may not be dropped. */
  readonly idleSince: number | undefined;
  /** Ends the connection now. */
  destroy(): void;
}

export class ClientLimit<T extends LimitedClient> {
  readonly #max: number;
  readonly #clients = new Set<T>();
  readonly #refused = new Set<LimitedClient>();

  constructor(max: number) {
    this.#max = max;
  }

  /** The clients that were admitted. */
  get clients(): readonly T[] {
    return [...this.#clients];
  }

  /** Clients that are being refused now. */
  get refused(): readonly LimitedClient[] {
    return [...this.#refused];
  }

  /** Admits a new client with `take`, or refuses it with `refuse`. */
  admit(take: () => T, refuse: () => LimitedClient): void {
    if (this.#clients.size < this.#max || dropIdlest(this.#clients)) return keep(this.#clients, take());
    if (this.#refused.size >= MAX_REFUSED) dropIdlest(this.#refused);
    keep(this.#refused, refuse());
  }
}

function keep<T extends LimitedClient>(clients: Set<T>, client: T): void {
  clients.add(client);
  void client.done.then(() => clients.delete(client));
}

/** Drops the client that was idle the longest. False when none may be dropped. */
function dropIdlest<T extends LimitedClient>(clients: Set<T>): boolean {
  let idlest: T | undefined;
  for (const client of clients) {
    if (client.idleSince !== undefined && client.idleSince < (idlest?.idleSince ?? Infinity)) idlest = client;
  }
  if (idlest === undefined) return false;
  clients.delete(idlest);
  idlest.destroy();
  return true;
}
