/** Ending a server in order. */

const SIGNALS = ['SIGINT', 'SIGTERM'] as const;

/** Resolves with the first SIGINT or SIGTERM. The next one ends the process as it always does. */
export function stopSignal(): Promise<(typeof SIGNALS)[number]> {
  return new Promise((resolve) => {
    const stop = (signal: NodeJS.Signals): void => {
      for (const name of SIGNALS) process.off(name, stop);
      resolve(signal as (typeof SIGNALS)[number]);
    };
    for (const name of SIGNALS) process.on(name, stop);
  });
}
