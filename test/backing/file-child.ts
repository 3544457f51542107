/**
 * A process that uses a FileStore until it is killed, or that kills itself in the middle of the given write. It prints
 * a line of JSON for each step that it has done; the slots are pairs of number and version, for content() of 3000
 * bytes.
 *
 *     node file-child.mjs <path> <sync|async> <seed> <writes>
 */
import { writeSync } from 'node:fs';
import { FileStore } from '../../bindings/backing/file.ts';
import { content, dice } from './content.ts';

export interface Line {
  did: 'open' | 'closing' | 'closed';
  slots: [slot: number, version: number][];
}

const [path, mode, seed, writes] = process.argv.slice(2) as [string, 'sync' | 'async', string, string];
const SLOTS = 64;
const roll = dice(Number(seed));
const held = new Map<number, number>();
let left = Number(writes);

function say(did: Line['did']): void {
  writeSync(1, `${JSON.stringify({ did, slots: [...held] } satisfies Line)}\n`);
}

for (let version = 1; ; version++) {
  const store = await FileStore.open({ path, slots: SLOTS, mode });
  say('open');
  for (let i = 0; i < 40; i++) {
    const slot = roll(SLOTS);
    if (held.delete(slot) && roll(2) === 0) {
      await store.free(slot);
      continue;
    }
    const writing = store.write(slot, content(slot, version, 3000));
    if (--left === 0) process.kill(process.pid, 'SIGKILL');
    await writing;
    held.set(slot, version);
  }
  say('closing');
  await store.close();
  say('closed');
}
