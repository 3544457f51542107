/**
 * The codecs that a caller gives to open a front end again. The RAM has only the names of the codecs (note.ts). The
 * codecs are read once here; none is called.
 */
import { CODEC_MAX, FIRST_FOREIGN } from '../../../assembly/abi.ts';
import { ForeignCodec } from '../../codec/foreign.ts';
import { LOADABLE_CODECS, loadCodec, type LoadableCodec } from '../../codec/index.ts';
import { CompcacheError, show } from '../../errors.ts';
import { requireRange } from './options.ts';

/** How many numbers there are for foreign codecs. */
export const CODECS_MAX = CODEC_MAX - FIRST_FOREIGN + 1;
/** How many characters of a codec's name the note has. The note is limited. */
const NAME_MAX = 64;
/** Bytes of a note for names of codecs. Everything else takes less than 600 of the 2040 bytes. */
const NAMES_BYTES = 1400;
/** The most codecs that may be given. It may be more than are needed. */
const GIVEN_MAX = 256;

/** The name of a codec, as the note has it. */
export function shortName(name: string): string {
  return name.slice(0, NAME_MAX);
}

/** The names in short form: several equal names in a row become one name and a number. */
export function packNames(names: readonly string[]): (string | [string, number])[] {
  const packed: [string, number][] = [];
  for (const name of names) {
    const last = packed.at(-1);
    if (last?.[0] === name) last[1] += 1;
    else packed.push([name, 1]);
  }
  return packed.map((run) => (run[1] === 1 ? run[0] : run));
}

/** Requires that the note has room for these names. ENOSPC. */
export function requireNames(op: string, names: readonly string[]): void {
  const { length } = new TextEncoder().encode(JSON.stringify(packNames(names)));
  if (length > NAMES_BYTES)
    throw new CompcacheError(
      'ENOSPC',
      op,
      `the names of ${names.length} codecs take ${length} bytes; there is room for ${NAMES_BYTES}`,
    );
}

/** The names from their short form. EINVAL for any other value. */
export function unpackNames(op: string, packed: unknown): string[] {
  const names: string[] = [];
  for (const run of Array.isArray(packed) ? (packed as unknown[]) : [undefined]) {
    const [name, times] = (Array.isArray(run) ? run : [run, 1]) as unknown[];
    if (typeof name !== 'string' || name !== shortName(name))
      throw new CompcacheError('EINVAL', op, 'codecs must be names');
    requireRange(op, 'codecs', times, 1, CODECS_MAX - names.length);
    for (let n = 0; n < times; n++) names.push(name);
  }
  return names;
}

/** Reads the codecs that the caller gives, each one once. EINVAL. */
export function takeCodecs(op: string, list: unknown): ForeignCodec[] {
  let codecs: unknown[] | undefined;
  try {
    if (Array.isArray(list)) {
      const { length } = list;
      if (length <= GIVEN_MAX) codecs = Array.from({ length }, (_, i): unknown => list[i]);
    }
  } catch (cause) {
    throw new CompcacheError('EINVAL', op, 'codecs cannot be read', { cause });
  }
  if (codecs === undefined)
    throw new CompcacheError('EINVAL', op, `codecs must be an array of up to ${GIVEN_MAX} codecs, not ${show(list)}`);
  return codecs.map((codec) => new ForeignCodec(op, codec));
}

/**
 * Finds the codecs with these names: first among those given, else by loadCodec. Several given codecs may have the same
 * name: they are used in their order, and the last one for all further names.
 * @throws EINVAL with the names of missing codecs; ENODEV for a codec that this host does not have
 */
export async function codecsNamed(
  op: string,
  names: readonly string[],
  given: readonly ForeignCodec[],
): Promise<ForeignCodec[]> {
  const byName = new Map<string, ForeignCodec[]>();
  for (const codec of given) byName.set(shortName(codec.name), [...(byName.get(shortName(codec.name)) ?? []), codec]);
  const lacking = names.filter((name) => !byName.has(name) && !(LOADABLE_CODECS as readonly string[]).includes(name));
  if (lacking.length !== 0)
    throw new CompcacheError('EINVAL', op, `codecs must have ${[...new Set(lacking)].map(show).join(', ')}`);
  const taken: ForeignCodec[] = [];
  for (const name of names) {
    let left = byName.get(name);
    if (left === undefined) byName.set(name, (left = [new ForeignCodec(op, await loadCodec(name as LoadableCodec))]));
    taken.push((left.length > 1 ? left.shift() : left[0]) as ForeignCodec);
  }
  return taken;
}
