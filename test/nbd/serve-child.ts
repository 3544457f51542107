/** A process that serves a slow device on a socket until it is told to stop, for listening.test.ts. */
import { serveNbd, stopSignal } from '../../cli/nbd/index.ts';
import { MemoryDevice } from './memory-device.ts';

const device = new MemoryDevice(2 ** 20);
device.before = (call) => {
  console.log(call);
  return new Promise((resolve) => setTimeout(resolve, 200));
};
const server = await serveNbd({ device, socket: process.argv[2] as string });
console.log('ready');
console.log(await stopSignal());
await server.close();
console.log('closed');
