/** The machine and the Node version of a measurement. */
import { cpus } from 'node:os';

export interface Machine {
  machine: string;
  node: string;
  date: string;
}

export function machine(): Machine {
  const all = cpus();
  return {
    machine: `${all.length} × ${all[0]?.model.trim() ?? 'unknown'}, ${process.platform} ${process.arch}`,
    node: process.version,
    date: new Date().toISOString(),
  };
}
