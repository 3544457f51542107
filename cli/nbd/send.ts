/** Writing to a socket, and ending it. */
import type { Socket } from 'node:net';

/** How long a client is waited for that has been told the end and does not close its side. */
const LINGER_MS = 1000;

/** Done when the kernel has taken the bytes, or the connection is gone: who sends next finds out. */
export function send(socket: Socket, ...parts: Uint8Array[]): Promise<void> {
  return new Promise((resolve) => void socket.write(Buffer.concat(parts), () => resolve()));
}

/**
 * Ends a connection in order: what was sent is delivered, then the end. A socket that is closed with bytes unread would be
 * reset, and the client could lose replies; so what still comes is thrown away until the client closes, or has had its time.
 */
export function endSocket(socket: Socket): Promise<void> {
  if (socket.closed) return Promise.resolve();
  return new Promise((resolve) => {
    const timer = setTimeout(() => socket.destroy(), LINGER_MS);
    socket.once('close', () => {
      clearTimeout(timer);
      resolve();
    });
    socket.removeAllListeners('data').resume();
    socket.end();
  });
}
