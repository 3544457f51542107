/** The memory that the connections of a server share: how much it is, who gets it, and that it comes back. */
import { describe, expect, test } from 'vitest';
import { Budget, Flight } from '../../cli/nbd/flight.ts';

const MIB = 2 ** 20;

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('the budget', () => {
  /** Whether an entry is granted by now. */
  async function isGranted(entry: Promise<boolean>): Promise<boolean> {
    return Promise.race([entry, turn().then(() => false)]);
  }

  test('is never more than 160 MiB, whatever is asked for and given back', async () => {
    const budget = new Budget(64);
    const flights = Array.from({ length: 64 }, () => new Flight(budget));
    const under: { flight: number; bytes: number }[] = [];
    const waits = new Set<number>();
    let x = 7;
    const random = (below: number): number => (x = (Math.imul(x, 1664525) + 1013904223) >>> 0) % below;
    for (let step = 0; step < 20_000; step++) {
      const flight = random(64);
      if (random(3) > 0 && !waits.has(flight)) {
        const bytes = Math.floor(32 * MIB * (random(1000) / 1000) ** 4);
        waits.add(flight);
        void (flights[flight] as Flight).enter(bytes).then((granted) => {
          expect(granted).toBe(true);
          waits.delete(flight);
          under.push({ flight, bytes });
        });
      } else if (under.length > 0) {
        const [gone] = under.splice(random(under.length), 1) as [{ flight: number; bytes: number }];
        (flights[gone.flight] as Flight).leave(gone.bytes);
      }
      await Promise.resolve();
      expect(under.reduce((sum, { bytes }) => sum + bytes, 0)).toBeLessThanOrEqual(160 * MIB);
    }
    while (under.length > 0 || waits.size > 0) {
      const gone = under.pop();
      if (gone === undefined) throw new Error('somebody waits for nothing');
      (flights[gone.flight] as Flight).leave(gone.bytes);
      await turn();
    }
    for (let i = 0; i < 3; i++) expect(await isGranted((flights[i] as Flight).enter(32 * MIB))).toBe(true);
  });

  test('gives everybody a request of a mebibyte, and the stock to those who wait for it in their order', async () => {
    const budget = new Budget(64);
    const flights = Array.from({ length: 64 }, () => new Flight(budget));
    for (const flight of flights.slice(0, 3)) expect(await isGranted(flight.enter(32 * MIB))).toBe(true);
    const order: number[] = [];
    const waiting = flights.slice(3, 6).map((flight, i) => flight.enter(32 * MIB).then(() => order.push(i)));
    for (const flight of flights.slice(6)) expect(await isGranted(flight.enter(MIB))).toBe(true);
    await turn();
    expect(order).toEqual([]);
    for (let i = 0; i < 3; i++) flights[i]?.leave(32 * MIB);
    await Promise.all(waiting);
    expect(order).toEqual([0, 1, 2]);
  });

  test('lets go of a flight that is closed while it waits', async () => {
    const budget = new Budget(64);
    const flights = Array.from({ length: 5 }, () => new Flight(budget));
    for (const flight of flights.slice(0, 3)) await flight.enter(32 * MIB);
    const [third, fourth] = [flights[3] as Flight, flights[4] as Flight];
    const entry = third.enter(32 * MIB);
    const next = fourth.enter(3 * MIB);
    expect(await isGranted(next)).toBe(false);
    third.close();
    expect(await entry).toBe(false);
    expect(await isGranted(next)).toBe(true);
    expect(await third.enter(1)).toBe(false);
  });
});
