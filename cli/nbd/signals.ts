/** Ending a server with a signal. */

const SIGNALS = ['SIGINT', 'SIGTERM'] as const;

/** Resolves with the first SIGINT or SIGTERM. The next such signal ends the process as usual. */
export function stopSignal(): Promise<(typeof SIGNALS)[number]> {
  return new Promise((resolve) => {
    const stop = (signal: NodeJS.Signals): void => {
      for (const name of SIGNALS) process.off(name, stop);
      resolve(signal as (typeof SIGNALS)[number]);
    };
    for (const name of SIGNALS) process.on(name, stop);
  });
}
