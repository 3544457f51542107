/**
 * The requests under way, and the memory that they hold: payloads of writes and replies of reads. A request is under
 * way until the kernel has taken its reply. So a client that does not read its replies cannot send more requests.
 *
 * A connection may have up to 64 requests with 32 MiB in total under way. All connections of a server also share one
 * budget:
 *
 *   - Each connection has its own reserve, up to 1 MiB. Requests that fit into it never wait for other connections.
 *   - The rest comes from a common stock of 96 MiB. A connection with requests under way gets more of the stock only if it
 *     then has no more than what is left. So a client that stalls cannot take all of it.
 *   - A connection without requests gets one request of any size as soon as the stock has enough. Such connections are
 *     served in the order in which they came.
 */
import { BLOCK_SIZE } from './protocol.ts';

const MAX_REQUESTS = 64;
const MAX_BYTES = BLOCK_SIZE.MAXIMUM;
const STOCK = 3 * MAX_BYTES;
const RESERVE = 2 ** 20;
/** The most bytes for the reserves of all connections together. */
const RESERVES = 2 * MAX_BYTES;

interface Waiter {
  requests: Requests;
  bytes: number;
  granted: () => void;
}

/** The memory that all connections of a server share. */
export class Budget {
  /** Bytes of each connection's own reserve. */
  readonly reserve: number;
  #stock = STOCK;
  readonly #waiting = new Set<Waiter>();

  constructor(maxConnections: number) {
    this.reserve = Math.min(RESERVE, Math.floor(RESERVES / maxConnections));
  }

  wait(waiter: Waiter): void {
    this.#waiting.add(waiter);
    this.grant();
  }

  cancel(waiter: Waiter): void {
    this.#waiting.delete(waiter);
    this.grant();
  }

  /** Returns bytes to the stock. */
  put(bytes: number): void {
    this.#stock += bytes;
    this.grant();
  }

  /** Lets every waiter continue that may. */
  grant(): void {
    let isHeld = false; // the rest is held for an earlier waiter
    for (const waiter of this.#waiting) {
      const { requests, bytes } = waiter;
      if (!requests.hasRoom(bytes)) continue;
      const need = requests.needOf(bytes);
      if (need > 0 && (isHeld || (!requests.isEmpty && requests.borrowed + need > this.#stock - need))) continue;
      if (need > this.#stock) {
        isHeld = true;
        continue;
      }
      this.#stock -= need;
      this.#waiting.delete(waiter);
      waiter.granted();
    }
  }
}

/** The requests of one connection that are under way. */
export class Requests {
  readonly #budget: Budget;
  #requests = 0;
  #bytes = 0;
  #isClosed = false;
  #waiter: Waiter | undefined;
  /** Ends the wait without success. */
  #gone: (() => void) | undefined;
  #finished: (() => void) | undefined;

  constructor(budget: Budget) {
    this.#budget = budget;
  }

  get isEmpty(): boolean {
    return this.#requests === 0;
  }

  /** Bytes taken from the common stock. */
  get borrowed(): number {
    return Math.max(0, this.#bytes - this.#budget.reserve);
  }

  /** True when the connection's own limits allow `bytes` more. */
  hasRoom(bytes: number): boolean {
    return this.#requests === 0 || (this.#requests < MAX_REQUESTS && this.#bytes + bytes <= MAX_BYTES);
  }

  /** The bytes that `bytes` more would take from the common stock. */
  needOf(bytes: number): number {
    return Math.max(0, this.#bytes + bytes - this.#budget.reserve) - this.borrowed;
  }

  /**
   * Waits for room for a request with `bytes` of payload in either direction. False when the connection was closed.
   * Only one call at a time.
   */
  async enter(bytes: number): Promise<boolean> {
    if (this.#isClosed) return false;
    if (this.hasRoom(bytes) && this.needOf(bytes) === 0) {
      this.#hold(bytes);
      return true;
    }
    return new Promise((resolve) => {
      const settle = (isGranted: boolean): void => {
        this.#waiter = this.#gone = undefined;
        resolve(isGranted);
      };
      const waiter: Waiter = {
        requests: this,
        bytes,
        granted: () => {
          this.#hold(bytes);
          settle(true);
        },
      };
      this.#waiter = waiter;
      this.#gone = () => settle(false);
      this.#budget.wait(waiter);
    });
  }

  #hold(bytes: number): void {
    this.#requests++;
    this.#bytes += bytes;
  }

  leave(bytes: number): void {
    const before = this.borrowed;
    this.#requests--;
    this.#bytes -= bytes;
    this.#budget.put(before - this.borrowed);
    if (this.#requests === 0) this.#finished?.();
  }

  /** The client has gone: no request may enter any more, and a waiting one gives up. */
  close(): void {
    this.#isClosed = true;
    const gone = this.#gone;
    if (this.#waiter !== undefined) this.#budget.cancel(this.#waiter);
    gone?.();
  }

  /** Waits until no request is under way. Called after the last `enter`. */
  async finished(): Promise<void> {
    if (this.#requests > 0) await new Promise<void>((resolve) => (this.#finished = resolve));
  }
}
