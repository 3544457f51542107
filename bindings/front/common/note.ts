/**
 * The note of a front end: settings that only the bindings know, as text in the RAM (assembly/front/note.ts). Opening a
 * front end reads it. An image from outside may hold any text, so the settings are checked like options of a caller.
 */
import { CompcacheError, ERRNO_MIN, requireU32 } from '../../errors.ts';
import type { Core } from '../../wasm.ts';

/** Writes the note, in place of the one before. @throws ENOSPC for more than 2040 bytes of text */
export function writeNote(op: string, core: Core, front: number, note: object): void {
  const text = new TextEncoder().encode(JSON.stringify(note));
  if (text.length <= core.page.length) core.page.set(text);
  if (core.exports.frontSetNote(front, text.length) >>> 0 >= ERRNO_MIN)
    throw new CompcacheError('ENOSPC', op, `the settings take ${text.length} bytes; there is room for 2040`);
}

/** Reads the note. @throws EIO when there is no note, or it cannot be read */
export function readNote(op: string, core: Core, front: number): Record<string, unknown> {
  const bytes = core.exports.frontNote(front) >>> 0;
  requireU32(op, 'note', bytes);
  let note: unknown;
  try {
    note = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(core.page.slice(0, bytes)));
  } catch (cause) {
    throw new CompcacheError('EIO', op, 'the settings of the front end cannot be read', { cause });
  }
  if (typeof note !== 'object' || note === null)
    throw new CompcacheError('EIO', op, 'the settings of the front end cannot be read');
  return note as Record<string, unknown>;
}
