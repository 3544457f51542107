/** What the store suite asks of the process that holds one store, and what it answers. */
export type Work =
  /** Puts pages first … first + count - 1, of a version: the page of a number differs between versions. */
  | { do: 'put'; first: number; count: number; version: number }
  /** Gets so many pages, as often as others or by Zipf's law with exponent 0.99. */
  | { do: 'get'; count: number; by: 'uniform' | 'zipf' }
  /** Compares pages with what was put last. */
  | { do: 'state'; version: number };

/** Of put and get. */
export interface Rate {
  perSecond: number;
}

/** Since just before the first put. */
export interface State {
  /** Growth of the process, by the bytes of all pages. */
  rss: number;
  /** Growth of the JavaScript heap, bytes a page. */
  heap: number;
  /** Percent of the time of puts and gets that garbage collection took. */
  gc: number;
}

/** The first message of the process: whether it has the store, or why not. */
export interface Hello {
  ready: boolean;
  leftOut: Record<string, string>;
}
