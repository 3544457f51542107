/** Messages between the store suite and the process that holds one store. */
export type Work =
  /** Puts pages first … first + count - 1 of a version. The contents of a page differ between versions. */
  | { do: 'put'; first: number; count: number; version: number }
  /** Gets `count` pages: all with the same probability, or by Zipf's law with exponent 0.99. */
  | { do: 'get'; count: number; by: 'uniform' | 'zipf' }
  /** Compares pages with those that were put last, and measures memory. */
  | { do: 'state'; version: number };

/** The result of put and get. */
export interface Rate {
  perSecond: number;
}

/** The changes since just before the first put. */
export interface State {
  /** Growth of the process, divided by the bytes of all pages. */
  rss: number;
  /** Growth of the JavaScript heap in bytes per page. */
  heap: number;
  /** Garbage collection, in percent of the time of puts and gets. */
  gc: number;
}

/** The first message of the process: whether the store could be made, and what is missing. */
export interface Hello {
  ready: boolean;
  leftOut: Record<string, string>;
}
