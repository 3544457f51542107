/** A store of pages by number. */
export interface Store {
  /** Stores a page. The caller may change its bytes afterwards. */
  put(number: number, page: Buffer): unknown;
  /** The bytes of a page, in an array of the store or in `into`. */
  get(number: number, into: Buffer): Uint8Array | Promise<Uint8Array>;
  /** True when each put and get must be awaited. */
  readonly awaits?: boolean;
  /** Waits until all pages are stored. */
  settle?(): Promise<unknown>;
}
