/** Writing to a socket, and ending it. */
import type { Socket } from 'node:net';

/** How long to wait for a client to close its side after our end. */
const LINGER_MS = 1000;

/** Resolves when the kernel has taken the bytes, or the connection is gone: then the next send or read finds out. */
export function send(socket: Socket, ...parts: Uint8Array[]): Promise<void> {
  return new Promise((resolve) => void socket.write(Buffer.concat(parts), () => resolve()));
}

/**
 * Ends a connection in order: first everything that was sent is delivered, then the end. Closing a socket with unread
 * bytes would reset it, and the client could lose replies. So further bytes are ignored until the client closes or
 * LINGER_MS have passed.
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
