/**
 * Where the units of a volume lie on its extents.
 *
 *     extent 0:  label | map … | slot 0 | slot 1 | …
 *     extent 1:  label | slot n | slot n + 1 | …
 *
 * All are units of SLOT_BYTES bytes. No unit straddles two extents; what is left at the end of an extent is never touched.
 * A map that does not fit the first extent goes on in the next.
 */
import { CompcacheError } from '../errors.ts';
import { MOST_SLOTS } from './arguments.ts';
import { crc32c } from './label.ts';
import type { Medium } from './medium.ts';
import { SLOT_BYTES } from './types.ts';

/** A region of a medium. */
export interface Extent {
  medium: Medium;
  /** Bytes. */
  offset: number;
  /** Bytes, none of which lies behind offset + length. */
  length: number;
}

/** Where a unit lies: its medium and its first byte there. */
export interface Place {
  medium: Medium;
  at: number;
}

const SLOTS_PER_UNIT = SLOT_BYTES * 8;

/** Units that the map of so many slots takes. */
function mapUnitsOf(slots: number): number {
  return Math.ceil(slots / SLOTS_PER_UNIT);
}

/** Bytes of a volume of one extent with so many slots. */
export function bytesFor(slots: number): number {
  return (1 + mapUnitsOf(slots) + slots) * SLOT_BYTES;
}

/** Whole units of an extent. */
export function unitsOf(extent: Extent): number {
  return Math.floor(extent.length / SLOT_BYTES);
}

/** CRC-32C of the table of extents. */
export function tableOf(extents: readonly Extent[]): number {
  const table = new DataView(new ArrayBuffer(16 * extents.length));
  extents.forEach((extent, i) => {
    table.setFloat64(16 * i, extent.offset, true);
    table.setFloat64(16 * i + 8, unitsOf(extent), true);
  });
  return crc32c(new Uint8Array(table.buffer));
}

export class Geometry {
  readonly slots: number;
  readonly mapUnits: number;
  readonly #extents: readonly Extent[];
  /** Of each extent: units before it, labels not counted. */
  readonly #firsts: number[] = [];

  /**
   * @param slots as many as fit unless given
   * @throws EINVAL for an extent that has no room beside its label, or slots that do not fit
   */
  constructor(op: string, extents: readonly Extent[], slots?: number) {
    let units = 0;
    for (const extent of extents) {
      if (unitsOf(extent) < 2)
        throw new CompcacheError(
          'EINVAL',
          op,
          `an extent must have at least ${2 * SLOT_BYTES} bytes (a label and a slot), not ${extent.length}`,
        );
      this.#firsts.push(units);
      units += unitsOf(extent) - 1;
    }
    this.#extents = extents;
    // One unit of map for every SLOTS_PER_UNIT slots: of SLOTS_PER_UNIT + 1 units one is map.
    const most = Math.min(units - Math.ceil(units / (SLOTS_PER_UNIT + 1)), MOST_SLOTS);
    if (most < (slots ?? 1))
      throw new CompcacheError('EINVAL', op, `there is room for ${most} slots, not ${slots ?? 1}`);
    this.slots = slots ?? most;
    this.mapUnits = mapUnitsOf(this.slots);
  }

  /** Where a slot lies. */
  slot(slot: number): Place {
    return this.#place(this.mapUnits + slot);
  }

  /** Where a unit of the map lies. */
  map(unit: number): Place {
    return this.#place(unit);
  }

  #place(unit: number): Place {
    let low = 0;
    let high = this.#firsts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if ((this.#firsts[middle] as number) <= unit) low = middle;
      else high = middle - 1;
    }
    const { medium, offset } = this.#extents[low] as Extent;
    return { medium, at: offset + (1 + unit - (this.#firsts[low] as number)) * SLOT_BYTES };
  }
}
