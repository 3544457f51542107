/**
 * The only file that uses the loader and the raw exports of the core.
 *
 * Results are signed numbers: the caller of an export converts them (`>>> 0`) and compares them with ERRNO_MIN.
 * Arguments that are often above 2^31 (handles, keys) are passed as signed numbers (`| 0`). Otherwise V8 would box them
 * for the call.
 */
import * as loader from '@assemblyscript/loader';
import { EINVAL, LAYOUT_VERSION, OUT_WORDS, PAGE_SIZE } from '../assembly/abi.ts';
import { CompcacheError, codeOf } from './errors.ts';

export { PAGE_SIZE };

/** Exports of the core. All numbers are u32 unless noted. The files in assembly/ describe the results. */
export interface CoreExports {
  layoutVersion(): number;
  attach(frames: number): number;
  scratchBase(): number;
  pageBuffer(): number;
  pageBufferBytes(): number;
  blockBuffer(): number;
  blockBufferBytes(): number;
  codecCompress(codec: number, bytes: number, most: number): number;
  codecDecompress(bytes: number, most: number): number;
  ramFail(after: number, times: number): void;
  ramLimit(frames: number): void;
  ramFree(): number;
  zpoolMalloc(pool: number, size: number): number;
  zpoolMallocRaw(pool: number): number;
  zpoolMax(pool: number): number;
  zpoolHugeSize(pool: number): number;
  zpoolFree(pool: number, handle: number): number;
  zpoolSize(pool: number, handle: number): number;
  zpoolRange(pool: number, handle: number, at: number, length: number, writing: number): number;
  zpoolWrite(pool: number, handle: number, at: number, length: number): number;
  zpoolMap(pool: number, handle: number, mode: number): number;
  zpoolUnmap(pool: number, handle: number): number;
  pageStore(pool: number, codec: number): number;
  pageLoad(pool: number, handle: number): number;
  pageFill(word: number): number;
  tableKind(pool: number): number;
  tableCount(pool: number): number;
  tablePut(pool: number, low: number, high: number, codec: number): number;
  tableSet(pool: number, low: number, high: number, value: number, state: number): number;
  tableGet(pool: number, low: number, high: number): number;
  tableLoad(pool: number, low: number, high: number): number;
  tableDelete(pool: number, low: number, high: number): number;
  tableClear(pool: number): number;
  // The RAM as a whole, and exports that only read (assembly/inspect.ts).
  ramCheck(frames: number): number;
  checksum(from: number, bytes: number, crc: number): number;
  ramCounter(which: number): number;
  ramSaved(frame: number): number;
  ramFixed(): number;
  zpoolNext(pool: number): number;
  zpoolLocate(pool: number, handle: number): number;
  zpoolMetadataFrames(pool: number): number;
  /** f64 */
  zpoolCounter(pool: number, which: number): number;
  zpoolIdentity(pool: number, word: number): number;
  tableSeek(pool: number, place: number): number;
  zpoolSpanning(pool: number): number;
  zpoolTables(pool: number): number;
  zpoolTable(pool: number, nth: number): number;
  zpoolWalk(pool: number, frame: number): number;
  // Pools as a whole (assembly/zpool.ts).
  ramInit(frames: number, limit: number, first: number, statics: number, scratch: number): number;
  zpoolCreate(
    kind: number,
    a: number,
    b: number,
    c: number,
    ownerBytes: number,
    name: number,
    nameBytes: number,
  ): number;
  zpoolOwner(pool: number, handle: number): number;
  zpoolDestroy(pool: number): number;
  tableOpen(pool: number, shape: number): number;
  zpoolCompact(pool: number, victims: number): number;
  zpoolCompactFrom(pool: number, cursor: number, most: number): number;
  zpoolFreeable(pool: number): number;
  zpoolIsolate(pool: number): number;
  zpoolVictimNext(pool: number, victim: number, cursor: number): number;
  zpoolRelease(pool: number, victim: number): number;
  zpoolRunDeferred(pool: number, force: number): number;
  // Front ends (assembly/front).
  zswapCreate(victims: number, shape: number, slots: number, epoch: number, name: number, nameBytes: number): number;
  zswapSet(front: number, limitPercent: number, thresholdPercent: number, same: number, raw: number): number;
  zswapUse(front: number, pool: number, codec: number): number;
  zswapUsed(front: number, index: number): number;
  zswapDrained(front: number): number;
  zswapDrainedAt(front: number): number;
  zswapFrames(front: number): number;
  zswapExcess(front: number): number;
  zswapAccept(front: number): void;
  zswapBudget(front: number): number;
  zswapSetBudget(front: number, left: number): void;
  zswapBegin(front: number, offset: number, type: number): number;
  zswapStore(front: number, offset: number, type: number): number;
  zswapMost(front: number): number;
  zswapPut(front: number, offset: number, type: number, bytes: number): number;
  zswapLoad(front: number, offset: number, type: number, exclusive: number): number;
  zswapHas(front: number, offset: number, type: number): number;
  zswapInvalidate(front: number, offset: number, type: number): number;
  zswapInvalidateArea(front: number, type: number): number;
  zswapVictim(front: number): number;
  zswapVictimKeep(front: number, index: number, victim: number, cursor: number): void;
  zswapVictimTake(front: number): number;
  zswapVictimEnd(front: number): void;
  zswapVictims(): number;
  zswapOwner(front: number, index: number, handle: number): number;
  zswapForeign(front: number, record: number): number;
  zswapPass(front: number, record: number): void;
  zswapWrite(front: number, record: number, raw: number): number;
  zswapWriteEnd(
    front: number,
    offset: number,
    type: number,
    job: number,
    slot: number,
    generation: number,
    end: number,
  ): number;
  zswapPend(front: number, offset: number, type: number): number;
  zswapDirect(front: number, offset: number, type: number, job: number): number;
  zswapDirectEnd(
    front: number,
    offset: number,
    type: number,
    job: number,
    slot: number,
    generation: number,
    end: number,
  ): number;
  frontNote(front: number): number;
  frontSetNote(front: number, bytes: number): number;
  zswapDestroy(front: number): number;
  zswapSettle(front: number): number;
  zswapWritten(front: number, place: number): number;
  ramzPool(front: number): number;
  ramzDestroy(front: number): number;
  ramzSettle(front: number): number;
  ramzBacked(front: number, index: number): number;
  ramzLastSecond(front: number): number;
  frontSettled(front: number, slot: number): void;
  frontKnows(front: number, bytes: number, slot: number, generation: number): number;
  frontOpen(front: number, bytes: number, slot: number, generation: number): number;
  zswapIsIn(front: number, offset: number, type: number, slot: number, generation: number): number;
  frontToFreeAt(front: number): number;
  frontFreeing(front: number): number;
  frontFreed(front: number, slot: number): void;
  ramzCreate(pages: number, slots: number, epoch: number, name: number, nameBytes: number): number;
  ramzUse(front: number, pool: number, most: number, limit: number): number;
  ramzCodec(front: number, priority: number, codec: number): number;
  ramzBegin(front: number, index: number): number;
  ramzWrite(front: number, index: number, now: number): number;
  ramzPut(front: number, index: number, bytes: number, now: number): number;
  ramzKeep(front: number, index: number, now: number): number;
  ramzRead(front: number, index: number, now: number): number;
  ramzIsIn(front: number, index: number, slot: number, generation: number): number;
  ramzDrop(front: number, index: number): number;
  ramzNext(front: number, index: number): number;
  ramzIdle(front: number, second: number, first: number, end: number): number;
  ramzSecond(front: number, state: number): number;
  ramzGiveUp(front: number, index: number): void;
  ramzOut(front: number, index: number): number;
  ramzDirect(front: number, index: number): number;
  ramzWritten(front: number, index: number, slot: number, generation: number): number;
  ramzPeek(front: number, index: number): number;
  ramzReplace(front: number, index: number, bytes: number, priority: number, threshold: number): number;
  ramzRecompress(front: number, index: number, priority: number, threshold: number): number;
  ramzResetPeak(front: number): void;
  /** f64 */
  ramzFigure(front: number, which: number): number;
  zswapCount(front: number, which: number): void;
  zswapFigure(front: number, which: number): number;
}

/**
 * An instance of the core and its memory, which may not hold a RAM yet. The memory never grows, so views of it stay
 * valid.
 */
export interface Instance {
  readonly exports: CoreExports;
  readonly memory: WebAssembly.Memory;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** An instance that works on the RAM in its memory. */
export interface Core extends Instance {
  /** The result area: OUT_… of assembly/abi.ts. */
  readonly out: Uint32Array;
  /** Address of the page buffer, and its first 4096 bytes. */
  readonly pageAddress: number;
  readonly page: Uint8Array<ArrayBuffer>;
  /** The whole page buffer and block buffer: 4 KiB, or at least 64 KiB, depending on the size of the RAM. */
  readonly pageBuffer: Uint8Array<ArrayBuffer>;
  readonly blockBuffer: Uint8Array<ArrayBuffer>;
}

/** Reserves linear memory. ENOMEM when the host refuses, ENODEV without WebAssembly. */
export function reserve(op: string, bytes: number): WebAssembly.Memory {
  requireWasm(op);
  const pages = bytes / 65536;
  try {
    return new WebAssembly.Memory({ initial: pages, maximum: pages });
  } catch (cause) {
    const why =
      'V8 takes about 10 GiB of address space for each memory; node --disable-wasm-trap-handler takes only the bytes';
    throw new CompcacheError(
      'ENOMEM',
      op,
      `the host refuses to reserve ${bytes} bytes of linear memory: ${bytes / PAGE_SIZE} frames needed, 0 free (${why})`,
      { cause, detail: { needed: bytes / PAGE_SIZE, free: 0 } },
    );
  }
}

function requireWasm(op: string): void {
  if (typeof WebAssembly === 'undefined') throw new CompcacheError('ENODEV', op, 'this host has no WebAssembly');
}

/** Compiles a core of this package. This fails only when the host forbids it. ENODEV. */
export async function compile(op: string, wasm: Uint8Array<ArrayBuffer>): Promise<WebAssembly.Module> {
  requireWasm(op);
  try {
    return await WebAssembly.compile(wasm);
  } catch (cause) {
    throw forbidden(op, cause);
  }
}

/** The same, synchronously. */
export function compileSync(op: string, wasm: Uint8Array<ArrayBuffer>): WebAssembly.Module {
  requireWasm(op);
  try {
    return new WebAssembly.Module(wasm);
  } catch (cause) {
    throw forbidden(op, cause);
  }
}

function forbidden(op: string, cause: unknown): CompcacheError {
  return new CompcacheError(
    'ENODEV',
    op,
    'the host does not compile WebAssembly here (a Content-Security-Policy without wasm-unsafe-eval?)',
    { cause },
  );
}

/**
 * Instantiates a core on a memory. Next, ramInit or an image makes a RAM, and then attach is called. EINVAL for a
 * module that is not this version's core.
 */
export function instantiate(op: string, module: WebAssembly.Module, memory: WebAssembly.Memory): Instance {
  requireCore(op, module);
  let exports: CoreExports;
  try {
    const imports = { env: { memory, abort: () => undefined } } as unknown as loader.Imports;
    exports = loader.instantiateSync(module, imports).instance.exports as unknown as CoreExports;
  } catch (cause) {
    throw new CompcacheError('EINVAL', op, 'module cannot be instantiated as a compcache core', { cause });
  }
  if (exports.layoutVersion() !== LAYOUT_VERSION) {
    throw new CompcacheError(
      'EINVAL',
      op,
      `module is a core of layout ${exports.layoutVersion()}, not ${LAYOUT_VERSION}`,
    );
  }
  return { exports, memory, bytes: new Uint8Array(memory.buffer as ArrayBuffer) };
}

/**
 * Lets an instance use the RAM in its memory. EIO when the boot frame is not valid, or has less room than the core
 * needs.
 */
export function attach(op: string, { exports, memory, bytes }: Instance): Core {
  const result = exports.attach(bytes.length / PAGE_SIZE) >>> 0;
  if (result !== 0)
    throw new CompcacheError(
      'EIO',
      op,
      codeOf(result) === 'EIO' ? lacking(exports) : 'the boot frame of the image is not valid',
    );
  const view = (address: number, length: number): Uint8Array<ArrayBuffer> =>
    new Uint8Array(bytes.buffer, address >>> 0, length);
  const pageAddress = exports.pageBuffer() >>> 0;
  return {
    exports,
    memory,
    bytes,
    out: new Uint32Array(bytes.buffer, exports.scratchBase() >>> 0, OUT_WORDS),
    pageAddress,
    page: view(pageAddress, PAGE_SIZE),
    pageBuffer: view(pageAddress, exports.pageBufferBytes()),
    blockBuffer: view(exports.blockBuffer(), exports.blockBufferBytes()),
  };
}

/** The message when a RAM has less room for something than the core needs. */
function lacking({ ramCounter }: CoreExports): string {
  return (
    [
      ['static data', 8, 10],
      ['scratch', 9, 11],
    ] as const
  )
    .filter(([, has, needs]) => ramCounter(has) < ramCounter(needs))
    .map(
      ([what, has, needs]) =>
        `the image has ${ramCounter(has)} frames for ${what}, this version needs ${ramCounter(needs)}`,
    )
    .join('; ');
}

/** Some exports of this version's core. A module without one of them is not our core. */
const REQUIRED = [
  'layoutVersion',
  'attach',
  'ramFail',
  'zpoolMalloc',
  'zpoolRange',
  'codecCompress',
  'pageStore',
  'pageLoad',
  'tablePut',
  'ramInit',
  'ramCheck',
  'zpoolCreate',
  'zswapStore',
  'ramzWrite',
];

function requireCore(op: string, module: unknown): asserts module is WebAssembly.Module {
  const names = exportsOf(module)
    .filter(({ kind }) => kind === 'function')
    .map(({ name }) => name);
  if (!REQUIRED.every((name) => names.includes(name))) {
    throw new CompcacheError('EINVAL', op, 'module must be a WebAssembly.Module of compcache/core.wasm');
  }
}

/** Exports of a value that may be a module. None for any other value. */
function exportsOf(module: unknown): WebAssembly.ModuleExportDescriptor[] {
  try {
    return WebAssembly.Module.exports(module as WebAssembly.Module);
  } catch {
    return [];
  }
}

/** A module that is valid only with 128-bit SIMD: one function that makes a v128 and drops it. */
const SIMD_PROBE = [0, 97, 115, 109, 1, 0, 0, 0, 1, 4, 1, 96, 0, 0, 3, 2, 1, 0, 10, 9, 1, 7, 0, 65, 0, 253, 15, 26, 11];

/** True when the host has SIMD. */
export function hasSimd(): boolean {
  return typeof WebAssembly !== 'undefined' && WebAssembly.validate(new Uint8Array(SIMD_PROBE));
}

const NOTHING = new Uint8Array(0);

/** Replaces the core of a closed RAM, so that no pool keeps its memory alive. Every export returns EINVAL. */
export function closedCore(): Core {
  const exports = new Proxy({}, { get: () => () => EINVAL | 0 }) as CoreExports;
  const memory = { buffer: new ArrayBuffer(0) } as WebAssembly.Memory;
  return {
    exports,
    memory,
    bytes: NOTHING,
    out: new Uint32Array(OUT_WORDS),
    pageAddress: 0,
    page: NOTHING,
    pageBuffer: NOTHING,
    blockBuffer: NOTHING,
  };
}
