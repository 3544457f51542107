/** The gate: while it is held, no call is under way, and new calls wait. */
import { expect, test } from 'vitest';
import { Gate, gated } from '../../cli/nbd/index.ts';
import { MemoryDevice } from './memory-device.ts';
import { MIB } from './serving.ts';

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('calls pass at once while the gate is not held, and their errors are thrown', async () => {
  const gate = new Gate();
  expect(gate.pass(() => 5)).toBe(5);
  expect(() =>
    gate.pass(() => {
      throw new RangeError('no');
    }),
  ).toThrow(RangeError);
  await expect(gate.pass(() => Promise.reject(new RangeError('no')))).rejects.toThrow(RangeError);
  expect(await gate.hold(async () => Promise.resolve(7))).toBe(7);
});

test('hold waits for calls under way; new calls and other holders wait until it is released', async () => {
  const gate = new Gate();
  const log: string[] = [];
  let end = (): void => undefined;
  const under = Promise.resolve(gate.pass(() => new Promise<void>((resolve) => (end = resolve))));
  let release = (): void => undefined;
  const first = gate.hold(async () => {
    log.push('held');
    await new Promise<void>((resolve) => (release = resolve));
    log.push('released');
  });
  const second = gate.hold(async () => Promise.resolve(void log.push('held again')));
  const late = gate.pass(() => void log.push('passed'));
  await turn();
  expect(log).toEqual([]);
  end();
  await under;
  await turn();
  expect(log).toEqual(['held']);
  release();
  await Promise.all([first, second, late]);
  expect(log.slice(0, 2)).toEqual(['held', 'released']);
  expect(log.slice(2).sort()).toEqual(['held again', 'passed']);
});

test('the gate opens again when the holder fails', async () => {
  const gate = new Gate();
  await expect(gate.hold(() => Promise.reject(new Error('no')))).rejects.toThrow('no');
  expect(gate.pass(() => 1)).toBe(1);
});

test('a gated device gives the same results as the device', async () => {
  const gate = new Gate();
  const device = new MemoryDevice(MIB);
  const through = gated(device, gate);
  expect([through.size, through.isReady]).toEqual([MIB, true]);
  const into = new Uint8Array(4);
  let written: unknown;
  await gate.hold(async () => {
    written = through.write(100, Uint8Array.of(1, 2, 3, 4));
    await turn();
    expect(device.bytes[100]).toBe(0);
  });
  await written;
  await through.read(100, into);
  expect([...into]).toEqual([1, 2, 3, 4]);
  await through.writeZeroes(100, 2, true);
  await through.trim(0, 50);
  await through.flush();
  expect(device.calls.map(({ call }) => call)).toEqual(['write', 'read', 'writeZeroes', 'trim', 'flush']);
});

test('a call that has waited waits again for a holder that came before it', async () => {
  const gate = new Gate();
  const order: string[] = [];
  let end = (): void => undefined;
  const first = gate.hold(() => new Promise<void>((resolve) => (end = resolve)));
  const second = gate.hold(async () => {
    order.push('second begins');
    await new Promise((resolve) => setTimeout(resolve, 5));
    order.push('second ends');
  });
  const call = gate.pass(() => void order.push('call'));
  await new Promise((resolve) => setTimeout(resolve, 1));
  end();
  await Promise.all([first, second, call]);
  expect(order).toEqual(['second begins', 'second ends', 'call']);
});
