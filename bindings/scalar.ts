/** `compcache/scalar`: the core without SIMD. It is loaded only when needed, because few hosts use it. */
import { base64 } from './generated/core-scalar.ts';
import { fromBase64 } from './base64.ts';

/** The bytes of core-scalar.wasm. */
export function wasm(): Uint8Array<ArrayBuffer> {
  return fromBase64(base64);
}
