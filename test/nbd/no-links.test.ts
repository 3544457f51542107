/** A Unix socket on a file system without hard links. */
import { existsSync, lstatSync, readdirSync, unlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, test, vi } from 'vitest';
import { expectAlive, serve, temporaryFolder, watchStrays } from './serving.ts';

vi.mock('node:fs', async (original) => ({
  ...(await original<typeof import('node:fs')>()),
  linkSync() {
    throw Object.assign(new Error('operation not permitted'), { code: 'EPERM' });
  },
}));

watchStrays();

test('is made, is not removed when another server has replaced it, and replaces no other file', async () => {
  const path = join(temporaryFolder(), 's');
  const first = await serve({ socket: path });
  expect(lstatSync(path).mode & 0o777).toBe(0o600);
  expect(readdirSync(dirname(path))).toEqual(['s']);
  await expect(serve({ socket: path })).rejects.toMatchObject({ code: 'EBUSY' });
  unlinkSync(path);
  const second = await serve({ socket: path });
  await first.close();
  await expectAlive(second);
  await second.close();
  expect(existsSync(path)).toBe(false);
  writeFileSync(path, 'precious');
  await expect(serve({ socket: path })).rejects.toMatchObject({ code: 'EEXIST' });
  expect(readdirSync(dirname(path))).toEqual(['s']);
});
