/** A store of pages by number. */
export interface Store {
  /** Keeps a page; the bytes are the caller's afterwards. */
  put(number: number, page: Buffer): unknown;
  /** The bytes of a page: its own, or those of `into`. */
  get(number: number, into: Buffer): Uint8Array | Promise<Uint8Array>;
  /** Whether put and get must be awaited one by one. */
  readonly awaits?: boolean;
  /** Waits until everything put is there. */
  settle?(): Promise<unknown>;
}
