/**
 * Slots that are not needed any more, on their way to being free: told to the store at once where that is synchronous, else as
 * there is room for calls. A slot is not used again before the store has ended freeing it, however it ends.
 */
import { NO_SLOT } from '../../../assembly/abi.ts';
import type { Core, CoreExports } from '../../wasm.ts';
import type { StoreIo } from './store-io.ts';

export class SlotFrees {
  readonly #io: StoreIo;
  readonly #front: CoreExports;
  readonly #address: number;
  /** One word of the RAM: slots that are doomed. */
  readonly #toFree: Uint32Array;
  readonly #isGone: () => boolean;
  #frees = 0;
  #hung = 0;
  #waiting: (() => void)[] = [];

  /** @param isGone whether the front end at that address is gone */
  constructor(io: StoreIo, core: Core, address: number, isGone: () => boolean) {
    this.#io = io;
    this.#toFree = new Uint32Array(core.memory.buffer, core.exports.frontToFreeAt(address) >>> 0, 1);
    this.#front = core.exports;
    this.#address = address;
    this.#isGone = isGone;
  }

  /** Begins freeing what is doomed, as far as calls may be made now. */
  drain(): void {
    const io = this.#io;
    while (this.#toFree[0] !== 0 && !this.#isGone() && io.hasRoom) {
      const slot = this.#front.frontFreeing(this.#address) >>> 0;
      if (slot === NO_SLOT) return;
      if (io.isSync) {
        const outcome = io.now('store.free', () => io.store.free(slot));
        // One that gives a promise all the same may still free it later.
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

  /** A call of the store has ended, or hangs: there may be room, and who waits for a slot may wait in vain. */
  storeChanged(): void {
    this.drain();
    if (this.#io.allHang) this.#wake();
  }

  /** Waits until a slot that is to be freed is free. False when there is none, or all that there are hang. */
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
