/** What an NBD server exports: bytes that can be read, written, trimmed and flushed. */

/**
 * A block device. Calls may answer at once or with a promise, and several may be under way. They fail with a CompcacheError;
 * what each code becomes on the wire is in protocol.ts.
 */
export interface BlockDevice {
  /** Bytes, a multiple of 4096. Throws ENODEV while the device is not initialised. */
  readonly size: number;
  /** False while it is not initialised: then there is no export. */
  readonly isReady: boolean;
  /** Fills `into`; any offset and length inside the size. */
  read(offset: number, into: Uint8Array): void | Promise<void>;
  /** Any offset and length inside the size. */
  write(offset: number, bytes: Uint8Array): void | Promise<void>;
  /** The bytes are no longer needed; what they read as afterwards is the device's choice. */
  trim(offset: number, length: number): void | Promise<void>;
  /** The bytes read as zero from now on. */
  writeZeroes(offset: number, length: number, mayTrim: boolean): void | Promise<void>;
  /** All that was written is as safe as the device can make it. */
  flush(): void | Promise<void>;
}
