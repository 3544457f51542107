/** Measured tables as text. */
import { aligned } from '../table.ts';
import type { MeasuredTable, Row } from './types.ts';

/** A table with its figures. The ratio is relative to the first row. */
export function toText({ title, unit, rows }: MeasuredTable): string {
  const extra = [...new Set(rows.flatMap(({ figures }) => Object.keys(figures ?? {})))];
  return `${aligned([
    [title, `median ${unit}`, 'min', 'max', 'ratio', ...extra],
    ...rows.map((row) => [
      `  ${row.name}`,
      ...[row.median, row.min, row.max].map(number),
      row.ratio.toFixed(2),
      ...extra.map((name) => figure(row, name)),
    ]),
  ])}\n`;
}

function figure({ figures }: Row, name: string): string {
  const value = figures?.[name];
  return value === undefined ? '-' : number(value);
}

/** A number with about four digits. */
function number(value: number): string {
  if (Number.isInteger(value) || Math.abs(value) >= 1000) return Math.round(value).toLocaleString('en-US');
  return value.toFixed(Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 3);
}
