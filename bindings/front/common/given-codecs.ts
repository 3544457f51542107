/**
 * Codecs that are given when a front end is opened again: it knows them by the names that lie in the RAM (note.ts). They are read
 * once; none is called.
 */
import { CODEC_MAX, FIRST_FOREIGN } from '../../../assembly/abi.ts';
import { ForeignCodec } from '../../codec/foreign.ts';
import { LOADABLE_CODECS, loadCodec, type LoadableCodec } from '../../codec/index.ts';
import { CompcacheError, show } from '../../errors.ts';
import { requireRange } from './options.ts';

/** Foreign codecs that there are numbers for. */
export const CODECS_MAX = CODEC_MAX - FIRST_FOREIGN + 1;
/** Of the name of a codec so much is kept, since a note has an end. */
const NAME_MAX = 64;
/** Bytes of a note that names of codecs may take: all else takes less than 600 of the 2040. */
const NAMES_BYTES = 1400;
/** The most codecs that may be given; more than are needed do no harm. */
const GIVEN_MAX = 256;

/** A codec's name as it is kept. */
export function shortName(name: string): string {
  return name.slice(0, NAME_MAX);
}

/** Names as they are kept: several of one name in a row as a name and a number. */
export function keptNames(names: readonly string[]): (string | [string, number])[] {
  const kept: [string, number][] = [];
  for (const name of names) {
    const last = kept.at(-1);
    if (last?.[0] === name) last[1] += 1;
    else kept.push([name, 1]);
  }
  return kept.map((run) => (run[1] === 1 ? run[0] : run));
}

/** Requires that these names can be kept. ENOSPC. */
export function requireNames(op: string, names: readonly string[]): void {
  const { length } = new TextEncoder().encode(JSON.stringify(keptNames(names)));
  if (length > NAMES_BYTES)
    throw new CompcacheError(
      'ENOSPC',
      op,
      `the names of ${names.length} codecs take ${length} bytes, ${NAMES_BYTES} are kept`,
    );
}

/** The names that were kept. EINVAL for what keptNames does not give. */
export function namesOf(op: string, kept: unknown): string[] {
  const names: string[] = [];
  for (const run of Array.isArray(kept) ? (kept as unknown[]) : [undefined]) {
    const [name, times] = (Array.isArray(run) ? run : [run, 1]) as unknown[];
    if (typeof name !== 'string' || name !== shortName(name))
      throw new CompcacheError('EINVAL', op, 'codecs must be names');
    requireRange(op, 'codecs', times, 1, CODECS_MAX - names.length);
    for (let n = 0; n < times; n++) names.push(name);
  }
  return names;
}

/** Codecs of the caller's, each read once. EINVAL. */
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
 * The codecs with these names: of those given, else loaded. Where several have one name, they are taken in their order, and the
 * last of them for all that follow.
 * @throws EINVAL that names those that lack; ENODEV for one that this host lacks
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
