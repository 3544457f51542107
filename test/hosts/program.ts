/**
 * The program that scripts/hosts.mjs runs on every host (Node, Deno, Bun), one after the other. It makes blocks of
 * every codec of the host, decodes them, and decodes the blocks of all earlier hosts; and it reopens the file store of
 * the host before.
 *
 *     <host> program.mjs <folder> <name of the host>
 */
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { FileStore } from '../../bindings/backing/file.ts';
import { LOADABLE_CODECS, SLOT_BYTES, loadCodec, type Codec, type LoadableCodec } from '../../bindings/index.ts';
import { content, dice } from '../backing/content.ts';

const [folder, host] = process.argv.slice(2) as [string, string];
const LENGTHS = [0, 1, 2, 13, 255, 256, 257, 4095, 4096, 4097, 5000, 16_384, 65_535, 65_536];

function require(what: string, holds: boolean): void {
  if (!holds) throw new Error(`${host}: ${what}`);
}

/** Zeros, text and noise of many lengths. */
function samples(): Uint8Array[] {
  const roll = dice(11);
  const words = ['frame', 'page', 'zspage ', '{"a":', '\n', '0x17'];
  let text = '';
  while (text.length < 65_536) text += words[roll(words.length)];
  const letters = new TextEncoder().encode(text);
  return LENGTHS.flatMap((length) => [new Uint8Array(length), letters.slice(0, length), content(length, 1, length)]);
}

function same(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

function decoded(codec: Codec, block: Uint8Array, room: number): Uint8Array | string {
  const into = new Uint8Array(room);
  try {
    return into.subarray(0, codec.decompress(block, into));
  } catch (error) {
    return String((error as { code?: unknown }).code);
  }
}

/** The blocks of all samples. Each must decode to its sample, and no part of a block may be taken for a whole one. */
function blocksOf(codec: Codec): Uint8Array[] {
  return samples().map((bytes, i) => {
    // The deflate of Deno and Bun makes noise a twentieth larger.
    const room = new Uint8Array(bytes.length + (bytes.length >> 3) + 1024);
    const block = room.slice(0, codec.compress(bytes, room));
    const back = decoded(codec, block, bytes.length);
    require(`${codec.name} does not read its block ${i}: ${typeof back === 'string' ? back : 'other bytes'}`, typeof back !==
      'string' && same(back, bytes));
    if (bytes.length > 0)
      require(`${codec.name} reads block ${i} into too little room`, decoded(codec, block, bytes.length - 1) === 'EIO');
    for (const end of [0, 1, block.length >> 1, block.length - 1]) {
      const part = decoded(codec, block.subarray(0, end), bytes.length);
      require(`${codec.name} takes a part of block ${i} for the whole`, bytes.length === 0 ||
        typeof part === 'string' ||
        part.length < bytes.length);
    }
    return block;
  });
}

const path = join(folder, 'store');
const before = existsSync(path);
const store = await FileStore.open({ path, slots: 20 });
require('the store of the host before is not empty, or lost', store.used === (before ? 1 : 0));
const into = new Uint8Array(SLOT_BYTES);
if (before)
  require('slot 7 is what was written', store.read(7, into) === SLOT_BYTES &&
    same(into.subarray(0, 4000), content(7, 1, 4000)));
store.write(7, content(7, 1, 4000));
const second = await FileStore.open({ path, slots: 20 }).then(
  () => 'opened',
  (error: unknown) => String(error),
);
require(`a second store of the file: ${second}`, second.includes('EBUSY') && second.includes(`process ${process.pid}`));
store.close();

const said = [];
for (const name of LOADABLE_CODECS) {
  let codec: Codec;
  try {
    codec = await loadCodec(name as LoadableCodec);
  } catch (error) {
    said.push(`${name}: ${String((error as { code?: unknown }).code)}`);
    continue;
  }
  const own = blocksOf(codec);
  const others = readdirSync(folder).filter((file) => file.endsWith(`.${name}.json`));
  for (const file of others) {
    const blocks = JSON.parse(readFileSync(join(folder, file), 'utf8')) as number[][];
    samples().forEach((bytes, i) => {
      const back = decoded(codec, Uint8Array.from(blocks[i] as number[]), bytes.length);
      require(`block ${i} of ${file} cannot be read`, typeof back !== 'string' && same(back, bytes));
    });
  }
  writeFileSync(join(folder, `${host}.${name}.json`), JSON.stringify(own.map((block) => [...block])));
  said.push(`${name}: ${own.length} blocks of its own and those of ${others.length} other hosts`);
}
console.log(`${host}: ${said.join('; ')}; store and its lock`);
