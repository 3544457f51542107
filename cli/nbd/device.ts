/** The interface of a device that the NBD server exports: read, write, trim and flush bytes. */

/**
 * A block device. Calls may return at once or return a promise, and several may be under way at a time. They fail with
 * a CompcacheError. protocol.ts maps its codes to NBD errors.
 */
export interface BlockDevice {
  /** Bytes, a multiple of 4096. Throws ENODEV while the device is not initialised. */
  readonly size: number;
  /** False while the device is not initialised. Then the server has no export. */
  readonly isReady: boolean;
  /** Fills `into`. Offset and length may be any inside the size. */
  read(offset: number, into: Uint8Array): void | Promise<void>;
  /** Writes bytes. Offset and length may be any inside the size. */
  write(offset: number, bytes: Uint8Array): void | Promise<void>;
  /** Tells the device that the bytes are no longer needed. What a later read returns depends on the device. */
  trim(offset: number, length: number): void | Promise<void>;
  /** Makes the bytes zero. */
  writeZeroes(offset: number, length: number, mayTrim: boolean): void | Promise<void>;
  /** Makes everything that was written as durable as the device can. */
  flush(): void | Promise<void>;
}
