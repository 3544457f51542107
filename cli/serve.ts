/**
 * `compcache serve`: a compressed RAM disk for NBD clients.
 *
 * The device is a Ramzswap, exported on a Unix socket or a TCP port. A second socket takes the requests of `compcache
 * rzscontrol`.
 */
import { existsSync } from 'node:fs';
import { InvalidArgumentError, Option, type Command } from 'commander';
import {
  ALLOCATORS,
  CompcacheError,
  PAGE_SIZE,
  Ram,
  Ramzswap,
  loadCodec,
  type AllocatorName,
  type Codec,
  type RamzswapSettings,
} from '../bindings/index.ts';
import { FileStore } from '../bindings/backing/file.ts';
import { CODECS, parseCodec, parseCodecs, type CodecName } from './arguments.ts';
import { newFile, readImage } from './image.ts';
import {
  Gate,
  gated,
  serveControl,
  serveNbd,
  stopSignal,
  type BlockDevice,
  type ControlHandler,
  type NbdServer,
} from './nbd/index.ts';
import { InputError } from './pages.ts';

interface Options {
  image?: string;
  disksize?: string;
  memlimit?: string;
  allocator?: AllocatorName;
  codec?: CodecName;
  recomp?: CodecName[];
  backing?: string;
  ram?: string;
  swapHeader?: boolean;
  socket?: string;
  port?: number;
  bind?: string;
  control?: string;
  exportName?: string;
}

/** The arguments of init, from the command line or the control socket. */
interface InitArguments {
  disksize?: number | string;
  memlimit?: number | string;
  allocator?: AllocatorName;
  codec?: CodecName;
  recomp?: CodecName[];
  /** Path of the backing file. */
  backing?: string;
  swapHeader?: boolean;
}

const INIT_KEYS = ['disksize', 'memlimit', 'allocator', 'codec', 'recomp', 'backing', 'swapHeader'];

// ── command ──────────────────────────────────────────────────────────────────

const HELP = `
Attach it with any NBD client, as root for a real device node:
  nbd-client -unix PATH /dev/nbd0      qemu-img convert disk.qcow2 'nbd+unix:///?socket=PATH'      nbdcopy FILE 'nbd+unix:///?socket=PATH'
To control it while it runs: compcache rzscontrol PATH --stats, and others; PATH is that of --socket or of --control.
SIGINT or SIGTERM ends it; the contents of the device are then lost, unless rzscontrol --save FILE has saved them. serve --image FILE
continues with them; give it the same --backing file if there was one. Everyone who can open the socket can read and write all of it.
`;

export function addServe(program: Command): void {
  program
    .command('serve')
    .description('Serves a compressed RAM disk over NBD.')
    .option('--image <file>', 'continue with a device that rzscontrol --save has saved')
    .option('--disksize <size>', 'bytes of the device, as in 256M; without it, rzscontrol initialises the device')
    .option('--memlimit <size>', 'the most memory of the pool')
    .addOption(new Option('--allocator <name>', 'allocator of the pool').choices([...ALLOCATORS]))
    .option('--codec <name>', `codec: ${CODECS.join(', ')}`, parseCodec)
    .option('--recomp <names>', 'up to three further codecs for recompression, separated by commas', parseCodecs)
    .option('--backing <file>', 'file for pages that do not compress or find no memory')
    .option('--ram <size>', 'bytes of the whole RAM; default: large enough for a device of incompressible pages')
    .option('--swap-header', 'make page 0 a swap header')
    .option('--socket <path>', 'Unix socket to serve on; a stale one is replaced')
    .option('--port <number>', 'TCP port to serve on, in place of a socket; 0 for any', parsePort)
    .option(
      '--bind <address>',
      'address of the port; default 127.0.0.1; any other lets other machines in, without a password',
    )
    .option('--control <path>', 'control socket; default: the path of the socket followed by .ctl')
    .option('--export-name <name>', 'a name for the export, in addition to the default name')
    .addHelpText('after', HELP)
    .action(serve);
}

function parsePort(text: string): number {
  const port = Number(text);
  if (/^\d+$/.test(text) && port <= 65535) return port;
  throw new InvalidArgumentError('It must be a number from 0 to 65535.');
}

async function serve(options: Options): Promise<void> {
  const { socket, port, bind, exportName } = options;
  if ((socket === undefined) === (port === undefined))
    throw new InputError('serve needs either --socket PATH or --port N');
  if (bind !== undefined && port === undefined) throw new InputError('--bind is for --port');
  const control = options.control ?? (socket === undefined ? undefined : `${socket}.ctl`);
  if (options.image !== undefined) refuseAll(options);
  const served =
    options.image !== undefined
      ? await restored(options.image, options.backing)
      : new Served(await Ramzswap.create(options.ram === undefined ? {} : { bytes: options.ram }));
  try {
    if (options.disksize !== undefined) await served.init(initArguments(options));
    else if (options.image === undefined) refuseSettings(options);
    await run(
      served,
      {
        ...(socket === undefined ? { port: port as number } : { socket }),
        ...(bind === undefined ? {} : { bind }),
        ...(exportName === undefined ? {} : { exportName }),
      },
      control,
    );
  } finally {
    await served.close();
  }
}

/** Without --disksize the device is not initialised, so other settings would have no effect. */
function refuseSettings(options: Options): void {
  const given = (['memlimit', 'allocator', 'codec', 'recomp', 'backing', 'swapHeader'] as const).find(
    (key) => options[key] !== undefined,
  );
  if (given !== undefined)
    throw new InputError(`${optionName(given)} is for --disksize; without that, give it to rzscontrol --init`);
}

/** With --image the settings come from the image. */
function refuseAll(options: Options): void {
  const given = (['disksize', 'memlimit', 'allocator', 'codec', 'recomp', 'ram', 'swapHeader'] as const).find(
    (key) => options[key] !== undefined,
  );
  if (given !== undefined) throw new InputError(`${optionName(given)} comes from the image`);
}

function optionName(key: keyof Options): string {
  return `--${key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

/** Opens the backing file of an image's device, with its contents. */
async function reopened(path: string): Promise<FileStore<'sync'>> {
  if (!existsSync(path)) throw new InputError(`there is no backing file ${path}`);
  try {
    return await FileStore.open({ path, existing: 'reopen' });
  } catch (error) {
    // The message proposes an option that the command line does not have, and that would discard the pages.
    throw error instanceof CompcacheError
      ? new InputError(
          `cannot use the backing file ${path}: ${error.message.replace(/^FileStore\.open: |; existing: .*$/g, '')}`,
          { cause: error },
        )
      : error;
  }
}

/** The device of an image, with its backing file. */
async function restored(image: string, backing: string | undefined): Promise<Served> {
  const ram = await Ram.restore(await readImage(image));
  let file: FileStore<'sync'> | undefined;
  try {
    const [device, ...others] = ram.fronts().filter(({ kind }) => kind === 'ramzswap');
    if (device === undefined || others.length !== 0)
      throw new InputError(`the image must have one device, not ${device === undefined ? 0 : others.length + 1}`);
    file = backing === undefined ? undefined : await reopened(backing);
    return new Served(await Ramzswap.open(ram, device.name, file === undefined ? {} : { backing: file }), file, ram);
  } catch (error) {
    file?.close();
    ram.close();
    throw error;
  }
}

function initArguments(options: Options): InitArguments {
  return Object.fromEntries(
    INIT_KEYS.filter((key) => options[key as keyof Options] !== undefined).map((key) => [
      key,
      options[key as keyof Options],
    ]),
  ) as InitArguments;
}

async function run(
  served: Served,
  endpoint: { socket?: string; port?: number; bind?: string; exportName?: string },
  control: string | undefined,
): Promise<void> {
  const stop = stopSignal();
  const report = (error: unknown): void =>
    void process.stderr.write(`compcache: ${error instanceof Error ? error.message : String(error)}\n`);
  const server = await serveNbd({
    device: gated(served, served.gate),
    description: 'compressed RAM disk',
    report,
    ...endpoint,
  });
  served.server = server;
  if (!server.isLocal)
    report(
      `warning: ${server.uri} is open to other machines: everyone who reaches it can read and write the whole device`,
    );
  try {
    const requests =
      control === undefined ? undefined : await serveControl({ path: control, handlers: served.handlers(), report });
    try {
      process.stdout.write(
        `serving ${server.uri}${served.isReady ? ` (${served.size} bytes)` : ' (not initialised)'}${control === undefined ? '' : `, control ${control}`}\n`,
      );
      await stop;
    } finally {
      await requests?.close();
    }
  } finally {
    await server.close();
  }
}

// ── device ───────────────────────────────────────────────────────────────────

/** The device that NBD clients and rzscontrol use, with its backing file. */
class Served implements BlockDevice {
  server: NbdServer | undefined;
  /** All use of the device passes this gate. */
  readonly gate = new Gate();
  #device: Ramzswap;
  #file: FileStore<'sync'> | undefined;
  /** The RAM of an image, until another device is made. */
  #ram: Ram | undefined;
  #starting = false;
  #resetting = false;
  /** Settles after the last long request. */
  #lastRequest: Promise<unknown> = Promise.resolve();

  constructor(device: Ramzswap, file?: FileStore<'sync'>, ram?: Ram) {
    this.#device = device;
    this.#file = file;
    this.#ram = ram;
  }

  get isReady(): boolean {
    return this.#device.initstate && !this.#resetting;
  }

  get size(): number {
    if (!this.isReady) throw new CompcacheError('ENODEV', 'serve.size', 'the device is not initialised');
    return this.#device.disksize;
  }

  read(offset: number, into: Uint8Array): void {
    this.#device.read(offset, into);
  }

  write(offset: number, bytes: Uint8Array): void {
    this.#device.write(offset, bytes);
  }

  /** Trims whole pages. Parts of a page stay unchanged. */
  trim(offset: number, length: number): void {
    const first = Math.ceil(offset / PAGE_SIZE);
    const end = Math.floor((offset + length) / PAGE_SIZE);
    if (end > first) this.#device.discard(first, end - first);
  }

  /** Pages of zeros take no memory, so whole pages are trimmed, whatever the client allows. */
  writeZeroes(offset: number, length: number): void {
    const end = offset + length;
    const first = Math.min(Math.ceil(offset / PAGE_SIZE) * PAGE_SIZE, end);
    const last = Math.max(Math.floor(end / PAGE_SIZE) * PAGE_SIZE, first);
    if (first > offset) this.write(offset, new Uint8Array(first - offset));
    this.trim(first, last - first);
    if (end > last) this.write(last, new Uint8Array(end - last));
  }

  flush(): Promise<void> {
    return this.#device.flush();
  }

  // ── requests ───────────────────────────────────────────────────────────────

  async init({ disksize, memlimit, allocator, codec, recomp, backing, swapHeader }: InitArguments): Promise<void> {
    if (this.#device.initstate || this.#starting)
      throw new CompcacheError('EBUSY', 'serve.init', 'the device is initialised: reset it first');
    if (disksize === undefined) throw new CompcacheError('EINVAL', 'serve.init', 'a disksize is needed');
    this.#starting = true;
    try {
      await this.#dropImage();
      const settings: RamzswapSettings = {
        disksize,
        ...(memlimit === undefined ? {} : { memlimit }),
        ...(allocator === undefined ? {} : { allocator }),
        ...(codec === undefined ? {} : { codec: await codecOf(codec) }),
        ...(recomp === undefined ? {} : { recompCodecs: await Promise.all(recomp.map(codecOf)) }),
        ...(swapHeader === undefined ? {} : { swapHeader }),
      };
      if (backing === undefined) this.#device.init(settings);
      else await this.#initOn(settings, backing);
    } finally {
      this.#starting = false;
    }
  }

  /** Replaces the device of an image by a new one, with neither the image's RAM nor its settings. */
  async #dropImage(): Promise<void> {
    if (this.#ram === undefined) return;
    const device = await Ramzswap.create();
    await this.#device.close();
    this.#ram.close();
    [this.#device, this.#ram] = [device, undefined];
  }

  /** Initialises the device with a backing file that has a slot for each page. */
  async #initOn(settings: RamzswapSettings, path: string): Promise<void> {
    this.#device.init(settings); // checks the settings before the file is touched
    const pages = this.#device.disksize / PAGE_SIZE;
    this.#device.reset();
    const file = await FileStore.open({
      path,
      slots: pages,
      size: (pages + 8) * 4128 + Math.ceil(pages / 8),
      existing: 'discard',
    });
    try {
      this.#device.init({ ...settings, backing: file });
      this.#file = file;
    } catch (error) {
      file.close();
      throw error;
    }
  }

  async reset(): Promise<void> {
    if (!this.isReady) throw new CompcacheError('ENODEV', 'serve.reset', 'the device is not initialised');
    const users = this.server?.users ?? 0;
    if (users !== 0)
      throw new CompcacheError(
        'EBUSY',
        'serve.reset',
        `${users} ${users === 1 ? 'client uses' : 'clients use'} the device`,
      );
    this.#resetting = true;
    try {
      await this.#device.resetAsync();
    } finally {
      this.#resetting = false;
    }
    this.#file?.close();
    this.#file = undefined;
  }

  async close(): Promise<void> {
    await this.#device.close();
    this.#file?.close();
    this.#ram?.close();
  }

  /**
   * Writes an image of the RAM to a file, after the long requests that came before. I/O and other requests wait until
   * the image is taken.
   */
  async save(path: string): Promise<{ bytes: number }> {
    const op = 'serve.save';
    await this.#lastRequest;
    const { ram } = this.#device;
    const file = await newFile(op, path);
    try {
      const bytes = await this.gate.hold(() => file.write(ram.snapshotChunks()));
      await file.commit();
      return { bytes };
    } finally {
      await file.abandon();
    }
  }

  /**
   * Runs a long request after the earlier ones. It works in slices, so I/O and short requests continue at the same
   * time.
   */
  #enqueue<T>(request: () => Promise<T>): Promise<T> {
    const done = this.#lastRequest.then(request);
    this.#lastRequest = done.catch(() => undefined);
    return done;
  }

  /** The handlers of the control socket. */
  handlers(): Record<string, ControlHandler> {
    return Object.fromEntries(
      Object.keys(this.#answers()).map((name) => {
        const answer: ControlHandler = (args) => (this.#answers()[name] as ControlHandler)(args);
        return [name, name === 'stats' || name === 'save' ? answer : (args) => this.gate.pass(() => answer(args))];
      }),
    );
  }

  /** The handlers for the present device. */
  #answers(): Record<string, ControlHandler> {
    const device = this.#device;
    return {
      init: async (args) => {
        await this.init(requireInitArguments(args));
        return { disksize: device.disksize };
      },
      reset: () =>
        this.#enqueue(async () => {
          await this.reset();
          return {};
        }),
      stats: () => ({
        ...device.stats(),
        allocator: device.allocator,
        codec: device.codec,
        mmStat: device.mmStat(),
        ioStat: device.ioStat(),
        bdStat: device.bdStat(),
      }),
      compact: () => this.#enqueue(async () => ({ pagesCompacted: await device.compactAsync() })),
      idle: ({ age }) =>
        this.#enqueue(async () => ({ pages: await device.markIdleAsync(age === undefined ? 'all' : (age as number)) })),
      writeback: ({ type }) => this.#enqueue(async () => ({ pages: await device.writebackAsync(type as 'idle') })),
      recompress: ({ type }) =>
        this.#enqueue(async () => ({
          pages: await device.recompressAsync(type === undefined ? {} : { type: type as 'idle' }),
        })),
      memlimit: ({ memlimit }) => {
        device.memlimit = memlimit as number;
        return { memlimit: device.memlimit };
      },
      save: ({ file }) => {
        if (typeof file !== 'string' || file === '')
          throw new CompcacheError('EINVAL', 'serve.save', 'file must be a path');
        return this.save(file);
      },
    };
  }
}

function requireInitArguments(args: Record<string, unknown>): InitArguments {
  const unknown = Object.keys(args).find((key) => !INIT_KEYS.includes(key));
  if (unknown !== undefined) throw new CompcacheError('EINVAL', 'serve.init', `there is no setting '${unknown}'`);
  const { backing, recomp } = args;
  if (backing !== undefined && typeof backing !== 'string')
    throw new CompcacheError('EINVAL', 'serve.init', 'backing must be a path');
  if (recomp !== undefined && !Array.isArray(recomp))
    throw new CompcacheError('EINVAL', 'serve.init', 'recomp must be names of codecs');
  return args as InitArguments;
}

/** A codec by its name: one of the core by name, any other is loaded. EINVAL, ENODEV. */
async function codecOf(name: CodecName): Promise<'lz4' | 'lz4hc' | Codec> {
  return name === 'lz4' || name === 'lz4hc' ? name : loadCodec(name);
}
