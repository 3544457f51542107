/**
 * The requests that have been taken and whose replies the kernel has not, and the memory that they may hold: payloads of
 * writes, replies of reads. Who sends requests and does not read the replies is read no further.
 *
 * A connection may have 64 requests of 32 MiB together under way. All connections of a server share one budget besides:
 *
 *   - Each has a reserve of its own, up to 1 MiB, that nobody else can take. Requests that fit in it never wait for others.
 *   - What goes beyond comes from a common stock of 96 MiB. A connection with requests under way gets more of it only while it
 *     has no more than what is left afterwards, so a client that stalls cannot take it all.
 *   - A connection with nothing under way gets one request of any size as soon as the stock has it. Those who wait for that
 *     are served in their order.
 */
import { BLOCK_SIZE } from './protocol.ts';

const MAX_REQUESTS = 64;
const MAX_BYTES = BLOCK_SIZE.MAXIMUM;
const STOCK = 3 * MAX_BYTES;
const RESERVE = 2 ** 20;
/** The most that the reserves of all connections come to. */
const RESERVES = 2 * MAX_BYTES;

interface Waiter {
  requests: Requests;
  bytes: number;
  granted: () => void;
}

/** What all connections of a server share. */
export class Budget {
  /** Bytes that each connection has for itself. */
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

  /** Gives bytes back. */
  put(bytes: number): void {
    this.#stock += bytes;
    this.grant();
  }

  /** Lets all go on who may. */
  grant(): void {
    let isHeld = false; // for somebody who came first
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

/** What one connection has under way. */
export class Requests {
  readonly #budget: Budget;
  #requests = 0;
  #bytes = 0;
  #isClosed = false;
  #waiter: Waiter | undefined;
  /** Ends the wait in vain. */
  #gone: (() => void) | undefined;
  #landed: (() => void) | undefined;

  constructor(budget: Budget) {
    this.#budget = budget;
  }

  get isEmpty(): boolean {
    return this.#requests === 0;
  }

  /** Bytes that it has from the common stock. */
  get borrowed(): number {
    return Math.max(0, this.#bytes - this.#budget.reserve);
  }

  /** Whether its own limits allow so many bytes more. */
  hasRoom(bytes: number): boolean {
    return this.#requests === 0 || (this.#requests < MAX_REQUESTS && this.#bytes + bytes <= MAX_BYTES);
  }

  /** What so many bytes more would take from the common stock. */
  needOf(bytes: number): number {
    return Math.max(0, this.#bytes + bytes - this.#budget.reserve) - this.borrowed;
  }

  /** Waits for room for a request with so many bytes of payload, either way; false when it was closed. One caller at a time. */
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
    if (this.#requests === 0) this.#landed?.();
  }

  /** Nobody enters any more, whoever waits included: the client has gone. */
  close(): void {
    this.#isClosed = true;
    const gone = this.#gone;
    if (this.#waiter !== undefined) this.#budget.cancel(this.#waiter);
    gone?.();
  }

  /** Waits for the last one; after the last `enter`. */
  async landed(): Promise<void> {
    if (this.#requests > 0) await new Promise<void>((resolve) => (this.#landed = resolve));
  }
}
