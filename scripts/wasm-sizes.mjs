// Prints the functions of a wasm module by size, largest first: node scripts/wasm-sizes.mjs FILE [count].
// Names need a module with a name section (asc --debug).
import { readFileSync } from 'node:fs';

const bytes = readFileSync(process.argv[2]);
let at = 8;
const leb = () => {
  let value = 0;
  for (let shift = 0; ; shift += 7) {
    const byte = bytes[at++];
    value |= (byte & 0x7f) << shift;
    if (byte < 0x80) return value >>> 0;
  }
};
const text = () => {
  const length = leb();
  return bytes.toString('utf8', at, (at += length));
};
let imported = 0;
const sizes = [];
const names = new Map();
while (at < bytes.length) {
  const id = bytes[at++];
  const end = leb() + at;
  if (id === 2) {
    for (let n = leb(); n > 0; n--) {
      text();
      text();
      const kind = bytes[at++];
      if (kind === 0) { imported++; leb(); }
      else if (kind === 2) { const flags = leb(); leb(); if (flags & 1) leb(); }
      else if (kind === 3) at += 2;
    }
  } else if (id === 10) {
    for (let n = leb(); n > 0; n--) {
      const size = leb();
      sizes.push(size);
      at += size;
    }
  } else if (id === 0 && text() === 'name') {
    while (at < end) {
      const kind = bytes[at++];
      const stop = leb() + at;
      if (kind === 1) for (let n = leb(); n > 0; n--) { const index = leb(); names.set(index, text()); }
      at = stop;
    }
  }
  at = end;
}
const rows = sizes.map((size, index) => [size, names.get(index + imported) ?? `#${index + imported}`]).sort((a, b) => b[0] - a[0]);
for (const [size, name] of rows.slice(0, Number(process.argv[3] ?? 40))) console.log(String(size).padStart(6), name);
console.log(String(sizes.reduce((sum, size) => sum + size, 0)).padStart(6), 'all code');
