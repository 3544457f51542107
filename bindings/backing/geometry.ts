/**
 * Where the units of a volume lie on its extents.
 *
 *     extent 0:  label | map … | slot 0 | slot 1 | …
 *     extent 1:  label | slot n | slot n + 1 | …
 *
 * All units have SLOT_BYTES bytes. No unit spans two extents, and the rest of an extent behind its last whole unit is
 * never touched. A map that does not fit into the first extent continues in the next.
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
  /** Bytes. No byte behind offset + length belongs to the extent. */
  length: number;
}

/** Where a unit lies: its medium, and the position of its first byte. */
export interface Place {
  medium: Medium;
  at: number;
}

const SLOTS_PER_UNIT = SLOT_BYTES * 8;

/** Units of the map for a number of slots. */
function mapUnitsOf(slots: number): number {
  return Math.ceil(slots / SLOTS_PER_UNIT);
}

/** Bytes of a volume with one extent and a number of slots. */
export function bytesFor(slots: number): number {
  return (1 + mapUnitsOf(slots) + slots) * SLOT_BYTES;
}

/** The number of whole units in an extent. */
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
  /** For each extent: the number of units before it, without labels. */
  readonly #firsts: number[] = [];

  /**
   * @param slots default: as many as fit
   * @throws EINVAL for an extent without room for a label and one unit, or for more slots than fit
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
    // Each unit of the map describes SLOTS_PER_UNIT slots, so one unit in SLOTS_PER_UNIT + 1 belongs to the map.
    const most = Math.min(units - Math.ceil(units / (SLOTS_PER_UNIT + 1)), MOST_SLOTS);
    if (most < (slots ?? 1))
      throw new CompcacheError('EINVAL', op, `there is room for ${most} slots, not ${slots ?? 1}`);
    this.slots = slots ?? most;
    this.mapUnits = mapUnitsOf(this.slots);
  }

  /** The place of a slot. */
  slot(slot: number): Place {
    return this.#place(this.mapUnits + slot);
  }

  /** The place of a unit of the map. */
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
