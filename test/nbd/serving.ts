/** Servers of tests: on a temporary socket, closed when the test is over, and no stray error on the way. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, onTestFinished } from 'vitest';
import { serveNbd, type NbdServer, type NbdServerOptions } from '../../cli/nbd/index.ts';
import { MemoryDevice } from './memory-device.ts';
import { RawClient } from './raw-client.ts';

export const MIB = 2 ** 20;

/** A folder that is gone after the test. */
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

/** Whether the server still does its work for others. */
export async function expectAlive(server: NbdServer): Promise<void> {
  const client = await RawClient.going(server);
  await client.read(0, 4096);
  await client.disconnect();
}

/** Waits until something is so. */
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

/** To be called once in each file: nothing may reach the process, and nothing be reported that the test does not take. */
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
