/** The progress bar: only on a terminal, and erased at the end. */
import { PassThrough } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { createProgress, printable } from '../../cli/report.ts';

function show(isTTY: boolean): string {
  const stream = Object.assign(new PassThrough(), { isTTY, columns: 80 });
  const progress = createProgress(stream as unknown as NodeJS.WriteStream);
  const listeners = process.listenerCount('SIGINT');
  expect(listeners).toBe(isTTY ? 1 : 0);
  progress.expect(200);
  progress.step(100, 'store, zbud');
  progress.step(100, 'load, zbud');
  progress.stop();
  expect(process.listenerCount('SIGINT')).toBe(0);
  return String(stream.read() ?? '');
}

describe('progress', () => {
  it('is a bar on a terminal, cleared at the end', () => {
    const shown = show(true);
    expect(shown).toContain('100% load, zbud');
    expect(shown.endsWith('\x1b[2K')).toBe(true); // the line is erased
    expect(shown.lastIndexOf('\x1b[?7h')).toBeGreaterThan(shown.lastIndexOf('\x1b[?7l')); // and lines wrap again
  });

  it('prints nothing when there is no terminal', () => {
    expect(show(false)).toBe('');
  });
});

describe('names', () => {
  it('are printed without control characters', () => {
    expect(printable('a\x1b[2J\nb\x9bc')).toBe('a [2J b c');
  });
});
