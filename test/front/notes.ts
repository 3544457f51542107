/** Changes the note of a front end in a RAM, so that tests can make damaged images. */
import { readNote } from '../../bindings/front/common/note.ts';
import { rams, type Ram } from '../../bindings/ram.ts';

export type Note = Record<string, unknown>;

/** The number of characters of a codec's name that count. */
export const MAX_NAME = 64;

/** Replaces the note of a zswap by the result of `edit` (undefined: removes it). @returns the old note */
export function editNote(ram: Ram, name: string, edit: (note: Note) => unknown): Note {
  const core = rams.core('test', ram);
  const { address } = rams.unopened('test', ram, name, 'zswap');
  const before = readNote('test', core, address);
  const text = new TextEncoder().encode(JSON.stringify(edit(before)) ?? '');
  core.page.set(text);
  core.exports.frontSetNote(address, text.length);
  return before;
}
