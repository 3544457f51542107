/**
 * Rows of text with aligned columns. The first column, with the names, is left-aligned, the others are right-aligned.
 */
export function aligned(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] as readonly string[]).map((_, column) =>
    Math.max(...rows.map((row) => (row[column] as string).length)),
  );
  const align = (cell: string, column: number): string =>
    column === 0 ? cell.padEnd(widths[column] as number) : cell.padStart(widths[column] as number);
  return rows.map((row) => row.map(align).join('  ')).join('\n');
}
