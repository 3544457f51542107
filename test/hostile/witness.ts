/** The witness: objects beside the attacked ones, in the same RAM, that must not change. */
import {
  PAGE_SIZE,
  Ramzswap,
  type AllocatorName,
  type Handle,
  type PageTable,
  type Ram,
  type Zpool,
} from '../../bindings/index.ts';
import { bytesAt, equal, pageAt } from './content.ts';

const OBJECTS = [1, 30, 100, 333, 1000, 2000, 3000, 3900];
const PAGES = 6;
/** Owner numbers of the bytes here; the attacked objects have larger ones. */
const OBJECT_OWNER = 1;
const PAGE_OWNER = 2;
const DEVICE_OWNER = 3;
export const FIRST_OWNER = 10;

export class Witness {
  static readonly pool = 'witness';
  readonly pool: Zpool;
  readonly handles: readonly Handle[];
  readonly #table: PageTable;
  readonly #device: Ramzswap;

  private constructor(pool: Zpool, handles: readonly Handle[], table: PageTable, device: Ramzswap) {
    this.pool = pool;
    this.handles = handles;
    this.#table = table;
    this.#device = device;
  }

  static async create(ram: Ram, allocator: AllocatorName): Promise<Witness> {
    const pool = ram.zpool(allocator, { name: Witness.pool });
    const handles = OBJECTS.map((size, i) => {
      const handle = pool.malloc(size);
      pool.write(handle, bytesAt(OBJECT_OWNER, i * PAGE_SIZE, size));
      return handle;
    });
    const table = pool.pageTable('sparse');
    for (let key = 0; key < PAGES; key++) table.put(key, pageAt(PAGE_OWNER, key));
    const device = await Ramzswap.create({ ram, disksize: PAGES * PAGE_SIZE, allocator });
    for (let index = 0; index < PAGES; index++) device.writePage(index, pageAt(DEVICE_OWNER, index));
    return new Witness(pool, handles, table, device);
  }

  /** The name of an object that has changed; undefined when none has. */
  changed(): string | undefined {
    return changedIn(this.pool, this.handles, this.#table) ?? this.#deviceChanged();
  }

  /** The same for a RAM that was restored from an image of this one, where the front ends are not open. */
  changedIn(ram: Ram): string | undefined {
    const pool = ram.openZpool(Witness.pool);
    return changedIn(pool, this.handles, pool.pageTable());
  }

  #deviceChanged(): string | undefined {
    const page = new Uint8Array(PAGE_SIZE);
    for (let index = 0; index < PAGES; index++) {
      this.#device.readPage(index, page);
      if (!equal(page, pageAt(DEVICE_OWNER, index))) return `page ${index} of the witness device`;
    }
    return undefined;
  }

  async close(): Promise<void> {
    await this.#device.close();
    this.pool.destroy();
  }
}

function changedIn(pool: Zpool, handles: readonly Handle[], table: PageTable): string | undefined {
  for (const [i, handle] of handles.entries()) {
    if (!equal(pool.read(handle), bytesAt(OBJECT_OWNER, i * PAGE_SIZE, OBJECTS[i] as number)))
      return `object ${i} of the witness pool`;
  }
  const page = new Uint8Array(PAGE_SIZE);
  for (let key = 0; key < PAGES; key++) {
    if (!table.get(key, page) || !equal(page, pageAt(PAGE_OWNER, key))) return `page ${key} of the witness page table`;
  }
  return undefined;
}
