/** Servers for tests: on a temporary socket, closed after the test, with no unexpected error. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, onTestFinished } from 'vitest';
import { serveNbd, type NbdServer, type NbdServerOptions } from '../../cli/nbd/index.ts';
import { MemoryDevice } from './memory-device.ts';
import { RawClient } from './raw-client.ts';

export const MIB = 2 ** 20;

/** A folder that is removed after the test. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'compcache-nbd-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

const reported: unknown[] = [];

/** Serves a device; 1 MiB in memory unless given. */
export async function serve(options: Partial<NbdServerOptions> = {}): Promise<NbdServer> {
  const where =
    options.port === undefined && options.socket === undefined ? { socket: join(temporaryFolder(), 'nbd.sock') } : {};
  const server = await serveNbd({
    device: new MemoryDevice(MIB),
    report: (error) => reported.push(error),
    ...where,
    ...options,
  });
  onTestFinished(() => server.close());
  return server;
}

/** Requires that the server still works for another client. */
export async function expectAlive(server: NbdServer): Promise<void> {
  const client = await RawClient.going(server);
  await client.read(0, 4096);
  await client.disconnect();
}

/** Waits until a condition holds. */
export async function until(isSo: () => boolean, what: string): Promise<void> {
  const end = performance.now() + 20_000;
  while (!isSo()) {
    if (performance.now() > end) throw new Error(`never came: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

/** The errors that servers have reported since the last call. */
export function takeReported(): unknown[] {
  return reported.splice(0);
}

/**
 * Call it once in each file: it fails the tests when an error reaches the process, or is reported and not taken by a
 * test.
 */
export function watchStrays(): void {
  const strays: unknown[] = [];
  const stray = (error: unknown): void => void strays.push(error);
  beforeAll(() => void process.on('unhandledRejection', stray).on('uncaughtException', stray));
  afterEach(() => expect(takeReported()).toEqual([]));
  afterAll(() => {
    process.off('unhandledRejection', stray).off('uncaughtException', stray);
    expect(strays).toEqual([]);
  });
}
