/** The NBD server and the control socket, for the commands. */
export type { BlockDevice } from './device.ts';
export { Gate, gated } from './gate.ts';
export { serveNbd, type NbdServer, type NbdServerOptions } from './server.ts';
export {
  askControl,
  serveControl,
  type AskOptions,
  type ControlHandler,
  type ControlServer,
  type ControlServerOptions,
} from './control.ts';
export { stopSignal } from './signals.ts';
