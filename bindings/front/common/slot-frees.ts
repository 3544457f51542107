/**
 * Frees slots that are not needed any more: at once if the store is synchronous, else when there is room for a call. A
 * slot is not used again before the store's call has ended, even if the call fails.
 */
import { NO_SLOT } from '../../../assembly/abi.ts';
import type { Core, CoreExports } from '../../wasm.ts';
import type { StoreIo } from './store-io.ts';

export class SlotFrees {
  readonly #io: StoreIo;
  readonly #front: CoreExports;
  readonly #address: number;
  /** One word of the RAM: how many slots are to be freed. */
  readonly #toFree: Uint32Array;
  readonly #isGone: () => boolean;
  #frees = 0;
  #hung = 0;
  #waiting: (() => void)[] = [];

  /** @param isGone true when the front end at that address does not exist any more */
  constructor(io: StoreIo, core: Core, address: number, isGone: () => boolean) {
    this.#io = io;
    this.#toFree = new Uint32Array(core.memory.buffer, core.exports.frontToFreeAt(address) >>> 0, 1);
    this.#front = core.exports;
    this.#address = address;
    this.#isGone = isGone;
  }

  /** Frees slots that are to be freed, as long as there is room for calls. */
  drain(): void {
    const io = this.#io;
    while (this.#toFree[0] !== 0 && !this.#isGone() && io.hasRoom) {
      const slot = this.#front.frontFreeing(this.#address) >>> 0;
      if (slot === NO_SLOT) return;
      if (io.isSync) {
        const outcome = io.now('store.free', () => io.store.free(slot));
        // If the call gave a Promise nevertheless, the store may still free the slot later.
        if ('failure' in outcome && outcome.late !== undefined) void outcome.late.then(() => this.#freed(slot));
        else this.#freed(slot);
      } else {
        this.#frees += 1;
        void this.#freeSoon(slot);
      }
    }
  }

  async #freeSoon(slot: number): Promise<void> {
    const outcome = await this.#io.soon('store.free', () => this.#io.store.free(slot));
    if ('failure' in outcome && outcome.late !== undefined) {
      this.#hung += 1;
      this.#wake();
      await outcome.late;
      this.#hung -= 1;
    }
    this.#frees -= 1;
    this.#freed(slot);
    this.drain();
    this.#wake();
  }

  #freed(slot: number): void {
    if (!this.#isGone()) this.#front.frontFreed(this.#address, slot);
  }

  /**
   * Called when a call of the store has ended or hangs. There may be room for a call now, or no call can end any more.
   */
  storeChanged(): void {
    this.drain();
    if (this.#io.allHang) this.#wake();
  }

  /** Waits until a slot becomes free. False when no slot is being freed, or all these calls hang. */
  async freed(): Promise<boolean> {
    if (this.#isGone() || this.#io.allHang || (this.#frees === this.#hung && this.#toFree[0] === 0)) return false;
    await new Promise<void>((resolve) => this.#waiting.push(resolve));
    return true;
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }
}
