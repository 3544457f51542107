/** `compcache/checked`: the core with its assertions on. Loaded lazily, because few programs want it. */
import { base64 as frontChecked } from './generated/front-checked.ts';
import { base64 as keeperChecked } from './generated/keeper-checked.ts';
import { base64 as coreChecked } from './generated/core-checked.ts';
import { fromBase64 } from './base64.ts';

/** The bytes of core-checked.wasm. */
export function wasm(): Uint8Array<ArrayBuffer> {
  return fromBase64(coreChecked);
}

/** The bytes of its keeper. @internal */
export function keeperWasm(): Uint8Array<ArrayBuffer> {
  return fromBase64(keeperChecked);
}

/** The bytes of its front ends. @internal */
export function frontWasm(): Uint8Array<ArrayBuffer> {
  return fromBase64(frontChecked);
}
