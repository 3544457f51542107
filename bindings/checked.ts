/** `compcache/checked`: the core with its assertions. It is loaded only when needed, because few programs use it. */
import { base64 } from './generated/core-checked.ts';
import { fromBase64 } from './base64.ts';

/** The bytes of core-checked.wasm. */
export function wasm(): Uint8Array<ArrayBuffer> {
  return fromBase64(base64);
}
