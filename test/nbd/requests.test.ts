/** The memory that the connections of a server share: its limit, its distribution, and its return. */
import { describe, expect, test } from 'vitest';
import { Budget, Requests } from '../../cli/nbd/requests.ts';

const MIB = 2 ** 20;

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('the memory budget', () => {
  /** Whether a request has been granted by now. */
  async function isGranted(entry: Promise<boolean>): Promise<boolean> {
    return Promise.race([entry, turn().then(() => false)]);
  }

  test('is never above 160 MiB, in any order of requests', async () => {
    const budget = new Budget(64);
    const connections = Array.from({ length: 64 }, () => new Requests(budget));
    const under: { requests: number; bytes: number }[] = [];
    const waits = new Set<number>();
    let x = 7;
    const random = (below: number): number => (x = (Math.imul(x, 1664525) + 1013904223) >>> 0) % below;
    for (let step = 0; step < 20_000; step++) {
      const requests = random(64);
      if (random(3) > 0 && !waits.has(requests)) {
        const bytes = Math.floor(32 * MIB * (random(1000) / 1000) ** 4);
        waits.add(requests);
        void (connections[requests] as Requests).enter(bytes).then((granted) => {
          expect(granted).toBe(true);
          waits.delete(requests);
          under.push({ requests, bytes });
        });
      } else if (under.length > 0) {
        const [gone] = under.splice(random(under.length), 1) as [{ requests: number; bytes: number }];
        (connections[gone.requests] as Requests).leave(gone.bytes);
      }
      await Promise.resolve();
      expect(under.reduce((sum, { bytes }) => sum + bytes, 0)).toBeLessThanOrEqual(160 * MIB);
    }
    while (under.length > 0 || waits.size > 0) {
      const gone = under.pop();
      if (gone === undefined) throw new Error('a request waits without a reason');
      (connections[gone.requests] as Requests).leave(gone.bytes);
      await turn();
    }
    for (let i = 0; i < 3; i++) expect(await isGranted((connections[i] as Requests).enter(32 * MIB))).toBe(true);
  });

  test('always grants requests of 1 MiB, and grants larger ones in the order in which they came', async () => {
    const budget = new Budget(64);
    const connections = Array.from({ length: 64 }, () => new Requests(budget));
    for (const requests of connections.slice(0, 3)) expect(await isGranted(requests.enter(32 * MIB))).toBe(true);
    const order: number[] = [];
    const waiting = connections.slice(3, 6).map((requests, i) => requests.enter(32 * MIB).then(() => order.push(i)));
    for (const requests of connections.slice(6)) expect(await isGranted(requests.enter(MIB))).toBe(true);
    await turn();
    expect(order).toEqual([]);
    for (let i = 0; i < 3; i++) connections[i]?.leave(32 * MIB);
    await Promise.all(waiting);
    expect(order).toEqual([0, 1, 2]);
  });

  test('drops a request when its connection is closed while it waits', async () => {
    const budget = new Budget(64);
    const connections = Array.from({ length: 5 }, () => new Requests(budget));
    for (const requests of connections.slice(0, 3)) await requests.enter(32 * MIB);
    const [third, fourth] = [connections[3] as Requests, connections[4] as Requests];
    const entry = third.enter(32 * MIB);
    const next = fourth.enter(3 * MIB);
    expect(await isGranted(next)).toBe(false);
    third.close();
    expect(await entry).toBe(false);
    expect(await isGranted(next)).toBe(true);
    expect(await third.enter(1)).toBe(false);
  });
});
