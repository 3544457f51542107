/** Notes of front ends that rest, changed behind the back of the bindings: what an image from outside may hold. */
import { readNote } from '../../bindings/front/common/note.ts';
import { rams, type Ram } from '../../bindings/ram.ts';

export type Note = Record<string, unknown>;

/** Characters that count of the name of a codec. */
export const MAX_NAME = 64;

/** Puts what `edit` makes of the note of a zswap in its place; undefined: no note. Gives the note that was there. */
export function editNote(ram: Ram, name: string, edit: (note: Note) => unknown): Note {
  const core = rams.core('test', ram);
  const { address } = rams.unopened('test', ram, name, 'zswap');
  const before = readNote('test', core, address);
  const text = new TextEncoder().encode(JSON.stringify(edit(before)) ?? '');
  core.page.set(text);
  core.exports.frontSetNote(address, text.length);
  return before;
}
