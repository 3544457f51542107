/** Base64 in any host. */

/** The bytes of a base64 text. Throws the error of atob for anything else. */
export function fromBase64(text: string): Uint8Array<ArrayBuffer> {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes;
}

/** The base64 text of at most some KB: each byte becomes an argument of one call. */
export function toBase64(bytes: Uint8Array): string {
  // A spread uses the iterator, which is ten times slower.
  return btoa(String.fromCharCode.apply(null, bytes as unknown as number[]));
}
