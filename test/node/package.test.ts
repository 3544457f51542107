/** The published package: packed, unpacked beside another program, imported, bundled, run in a browser. */
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { brotliCompressSync } from 'node:zlib';
import { build } from 'esbuild';
import { chromium } from 'playwright';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

const ROOT = join(import.meta.dirname, '../..');

/** The README's first example, as a user would write it. */
const PROGRAM = `
import { CompcacheError, Ram, loadCodec } from 'compcache';
export async function main() {
  const ram = await Ram.create({ bytes: '1MiB' });
  const pool = ram.zpool('zsmalloc');
  const page = new Uint8Array(4096).fill(7, 0, 2000);
  const entry = pool.storePage(page);
  const into = new Uint8Array(4096);
  pool.loadPage(entry, into);
  ram.check();
  const checked = await Ram.restore(ram.snapshot(), { build: 'checked' });
  checked.check();
  const lz4js = await loadCodec('lz4js');
  const block = new Uint8Array(4096);
  const length = ram.codec('lz4').compress(page, block);
  const out = new Uint8Array(4096);
  const bytes = lz4js.decompress(block.subarray(0, length), out);
  return [into.every((byte, i) => byte === page[i]), out.every((byte, i) => byte === page[i]), bytes, CompcacheError.name].join(' ');
}
`;
const EXPECTED = 'true true 4096 CompcacheError';

let home = '';
let packed: string[] = [];

beforeAll(() => {
  if (!existsSync(join(ROOT, 'dist/bindings/index.js'))) throw new Error('dist/ is missing: npm run build');
  home = mkdtempSync(join(tmpdir(), 'compcache-package-'));
  const [tarball] = JSON.parse(
    execFileSync('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', home], {
      cwd: ROOT,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }),
  ) as [{ filename: string; files: { path: string }[] }];
  packed = tarball.files.map(({ path }) => path);
  mkdirSync(join(home, 'node_modules/compcache'), { recursive: true });
  execFileSync('tar', [
    'xzf',
    join(home, tarball.filename),
    '--strip-components=1',
    '-C',
    join(home, 'node_modules/compcache'),
  ]);
  // Its dependencies, as npm installs them; no other file of the project can be reached.
  const { dependencies } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
    dependencies: Record<string, string>;
  };
  for (const name of Object.keys(dependencies)) {
    mkdirSync(join(home, 'node_modules', name, '..'), { recursive: true });
    symlinkSync(join(ROOT, 'node_modules', name), join(home, 'node_modules', name));
  }
  writeFileSync(join(home, 'program.mjs'), PROGRAM);
  writeFileSync(join(home, 'run.mjs'), `import { main } from './program.mjs';\nconsole.log(await main());\n`);
  writeFileSync(
    join(home, 'page.mjs'),
    `import { main } from './program.mjs';\nmain().then((text) => { document.title = text; }, (error) => { document.title = error.code + ' ' + error.message; });\n`,
  );
}, 60_000);

afterAll(() => rmSync(home, { recursive: true, force: true }));

describe('the packed package', () => {
  test('has what it needs and nothing else', () => {
    expect(packed).toEqual(
      expect.arrayContaining([
        'README.md',
        'LICENSE',
        'CHANGELOG.md',
        'SECURITY.md',
        'dist/core.wasm',
        'dist/core-scalar.wasm',
        'dist/core-checked.wasm',
        'dist/bindings/index.d.ts',
        'dist/cli/main.js',
      ]),
    );
    expect(packed.filter((path) => !/^(dist\/|README|LICENSE|CHANGELOG|SECURITY|package\.json)/.test(path))).toEqual(
      [],
    );
  });

  test('names the Node and Keyv versions that it supports: Node versions in which require works, and both tested versions of Keyv', () => {
    const manifest = JSON.parse(readFileSync(join(home, 'node_modules/compcache/package.json'), 'utf8')) as Record<
      string,
      Record<string, string>
    >;
    const lock = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')) as {
      packages: Record<string, typeof manifest>;
    };
    for (const { engines, peerDependencies, devDependencies } of [manifest, lock.packages[''] as typeof manifest]) {
      expect([engines?.node, peerDependencies?.keyv]).toEqual(['>=20.19', '^5 || ^6']);
      expect([devDependencies?.keyv, devDependencies?.keyv6]).toEqual([
        expect.stringMatching(/^5\./),
        expect.stringMatching(/^npm:keyv@6\./),
      ]);
    }
    expect(readFileSync(join(ROOT, 'README.md'), 'utf8')).toContain('Node 20.19 or newer');
    const script = `
      const { MemoryStore } = require('compcache');
      const { FileStore } = require('compcache/backing/file');
      const { KeyvStore } = require('compcache/backing/keyv');
      console.log([MemoryStore, FileStore, KeyvStore].map(({ name }) => name).join());`;
    expect(
      execFileSync(process.execPath, ['--no-warnings', '--input-type=commonjs', '-e', script], {
        cwd: home,
        encoding: 'utf8',
      }).trim(),
    ).toBe('MemoryStore,FileStore,KeyvStore');
  });

  test.each([
    ['import { Ram }', 75],
    ['import * as all', 100],
  ])('%s takes at most %i KB, minified and compressed, with one core', async (imported, most) => {
    writeFileSync(
      join(home, 'size.mjs'),
      `${imported} from 'compcache';\nglobalThis.used = ${imported.includes('all') ? 'all' : 'Ram'};\n`,
    );
    const { metafile, outputFiles } = await build({
      entryPoints: [join(home, 'size.mjs')],
      bundle: true,
      splitting: true,
      minify: true,
      format: 'esm',
      platform: 'browser',
      write: false,
      metafile: true,
      outdir: join(home, 'size'),
      absWorkingDir: home,
      logLevel: 'silent',
    });
    // The entry and its static imports; files that are loaded on demand do not count.
    const wanted = new Set(
      Object.keys(metafile.outputs).filter((name) => metafile.outputs[name]?.entryPoint?.endsWith('size.mjs')),
    );
    for (const name of wanted)
      for (const { path, kind } of metafile.outputs[name]?.imports ?? [])
        if (kind === 'import-statement') wanted.add(path);
    const files = outputFiles.filter(({ path }) => [...wanted].some((name) => path.endsWith(name)));
    expect(files.length).toBe(wanted.size);
    const bytes = Buffer.concat(files.map(({ contents }) => contents));
    expect(brotliCompressSync(bytes).length).toBeLessThanOrEqual(most * 1000);
    expect(bytes.includes(Buffer.from('AGFzbQ'))).toBe(true); // the core is included
  });

  test('runs in Node', () => {
    expect(execFileSync(process.execPath, ['run.mjs'], { cwd: home, encoding: 'utf8' }).trim()).toBe(EXPECTED);
  });

  test('its subpaths can be imported', () => {
    const script = `
      import { readFile } from 'node:fs/promises';
      import { Ram } from 'compcache';
      import { wasm } from 'compcache/checked';
      import { wasm as scalar } from 'compcache/scalar';
      for (const name of ['core', 'core-scalar', 'core-checked']) {
        const bytes = await readFile(new URL(import.meta.resolve('compcache/' + name + '.wasm')));
        Ram.createSync({ bytes: '256KiB', module: new WebAssembly.Module(bytes) }).check();
      }
      for (const bytes of [wasm(), scalar()]) Ram.createSync({ bytes: '256KiB', module: new WebAssembly.Module(bytes) }).check();
      console.log(import.meta.resolve('compcache/package.json').endsWith('package.json'));`;
    expect(
      execFileSync(process.execPath, ['--input-type=module', '-e', script], { cwd: home, encoding: 'utf8' }).trim(),
    ).toBe('true');
  });

  test('its backing stores work, and the one for Keyv works without Keyv', () => {
    const script = `
      import { MemoryStore, SLOT_BYTES } from 'compcache';
      import { FileStore } from 'compcache/backing/file';
      import { KeyvStore } from 'compcache/backing/keyv';
      import { OpfsStore } from 'compcache/backing/opfs';
      const into = new Uint8Array(SLOT_BYTES);
      for (const store of [new MemoryStore(), await FileStore.open({ path: 'store', slots: 2 }), await FileStore.open({ path: 'other', slots: 2, mode: 'async' }), await KeyvStore.open(new Map())]) {
        await store.write(1, new Uint8Array([1, 2, 3]));
        await store.read(1, into);
        console.log(into.subarray(0, 3).join());
        await store.close();
      }
      await OpfsStore.open({ name: 'x', slots: 1 }).catch((error) => console.log(error.code));`;
    expect(
      execFileSync(process.execPath, ['--input-type=module', '-e', script], { cwd: home, encoding: 'utf8' })
        .trim()
        .split('\n'),
    ).toEqual(['1,2,3', '1,2,3', '1,2,3', '1,2,3', 'ENODEV']);
  });

  test('its types compile in a strict program', () => {
    writeFileSync(
      join(home, 'typed.ts'),
      `
      import { MemoryStore, PageTable, Ram, SLOT_BYTES, Zpool, type AllocatorName, type BackingStore, type Handle } from 'compcache';
      import { KeyvStore, type KeyvLike } from 'compcache/backing/keyv';
      import { OpfsStore } from 'compcache/backing/opfs';
      const name: AllocatorName = 'zbud';
      const ram: Ram = Ram.createSync({ bytes: 1 << 20, limit: '512K' });
      const pool: Zpool = ram.zpool(name, { evict: (handle: Handle, owner: Zpool) => owner.free(handle) });
      const handle: Handle = pool.malloc(1);
      // @ts-expect-error a plain number is no handle
      pool.free(12);
      pool.free(handle);
      // @ts-expect-error pools come from a RAM
      new Zpool();
      // @ts-expect-error and page tables from a pool
      new PageTable();
      export async function stores(keyv: KeyvLike): Promise<BackingStore[]> {
        const opfs: OpfsStore = await OpfsStore.open({ name: 'swap', size: '1MiB', existing: 'discard' });
        const bytes: number = opfs.read(0, new Uint8Array(SLOT_BYTES));
        // @ts-expect-error there is no such mode
        opfs.mode === 'async';
        // @ts-expect-error stores are opened
        new OpfsStore();
        return [new MemoryStore({ slots: bytes }), opfs, await KeyvStore.open(keyv), await KeyvStore.open(new Map())];
      }
    `,
    );
    execFileSync(
      process.execPath,
      [
        join(ROOT, 'node_modules/typescript/bin/tsc'),
        '--noEmit',
        '--strict',
        '--target',
        'es2022',
        '--module',
        'nodenext',
        '--moduleResolution',
        'nodenext',
        '--lib',
        'es2022,dom',
        'typed.ts',
      ],
      { cwd: home, encoding: 'utf8' },
    );
  });

  test('the types of the file store compile in a program for Node', () => {
    writeFileSync(
      join(home, 'typed-node.ts'),
      `
      import type { BackingStore } from 'compcache';
      import { FileStore, type FileStoreOptions } from 'compcache/backing/file';
      export async function stores(options: FileStoreOptions): Promise<BackingStore[]> {
        await using store = await FileStore.open({ path: new URL('file:///x'), size: '1MiB' });
        const now: number = store.read(0, new Uint8Array(5000));
        const later = await FileStore.open({ files: [{ path: 'x', offset: '1K', length: now }], mode: 'async', existing: 'refuse' });
        const promise: Promise<number> = later.read(0, new Uint8Array(5000));
        await promise;
        return [store, later, await FileStore.open(options)];
      }
    `,
    );
    const types = join(home, 'node_modules/@types/node');
    if (!existsSync(types)) {
      mkdirSync(join(types, '..'), { recursive: true });
      symlinkSync(join(ROOT, 'node_modules/@types/node'), types);
    }
    execFileSync(
      process.execPath,
      [
        join(ROOT, 'node_modules/typescript/bin/tsc'),
        '--noEmit',
        '--strict',
        '--target',
        'es2022',
        '--module',
        'nodenext',
        '--moduleResolution',
        'nodenext',
        '--lib',
        'es2022,dom,esnext.disposable',
        '--types',
        'node',
        'typed-node.ts',
      ],
      { cwd: home, encoding: 'utf8' },
    );
  });

  test('importing it has no side effects: a bundle that uses only the error is small', async () => {
    const { outputFiles } = await build({
      stdin: { contents: `export { CompcacheError } from 'compcache';`, resolveDir: home },
      bundle: true,
      format: 'esm',
      minify: true,
      write: false,
    });
    expect(outputFiles[0]?.contents.length).toBeLessThan(3000);
    expect(readdirSync(home)).toContain('node_modules');
  });
});

describe('bundled for a browser', () => {
  test.each(['opfs', 'keyv'])('the %s store needs nothing of Node, and no core', async (name) => {
    const { outputFiles } = await build({
      stdin: { contents: `export * from 'compcache/backing/${name}';`, resolveDir: home },
      bundle: true,
      format: 'esm',
      platform: 'browser',
      minify: true,
      write: false,
    });
    expect(outputFiles[0]?.contents.length).toBeLessThan(16_000);
  });

  let server: Server;
  let bundle: Uint8Array;

  beforeAll(async () => {
    const { outputFiles } = await build({
      entryPoints: [join(home, 'page.mjs')],
      bundle: true,
      format: 'esm',
      platform: 'browser',
      write: false,
      logLevel: 'silent',
    });
    bundle = outputFiles[0]?.contents as Uint8Array;
    server = createServer((request, response) => {
      if (request.url === '/page.js') {
        response.writeHead(200, { 'content-type': 'text/javascript' }).end(bundle);
        return;
      }
      const policy = request.url === '/strict' ? "script-src 'self'" : "script-src 'self' 'wasm-unsafe-eval'";
      response
        .writeHead(200, { 'content-type': 'text/html', 'content-security-policy': policy })
        .end('<script type="module" src="/page.js"></script>');
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  });

  afterAll(() => void server.close());

  /** The title of the page, which is the program's result. */
  async function titleOf(path: string): Promise<string> {
    const browser = await chromium.launch({
      executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
      args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update'],
    });
    try {
      const page = await browser.newPage();
      await page.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}${path}`);
      await page.waitForFunction('document.title !== ""', undefined, { timeout: 20_000 });
      return await page.title();
    } finally {
      await browser.close();
    }
  }

  test('it runs in Chromium under a Content-Security-Policy with wasm-unsafe-eval', async () => {
    expect(await titleOf('/')).toBe(EXPECTED);
  });

  test('where the policy forbids WebAssembly, the error is ENODEV with this reason', async () => {
    expect(await titleOf('/strict')).toMatch(/^ENODEV .*Content-Security-Policy/);
  });
});
