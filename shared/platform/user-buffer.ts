import { Socket, type SocketConstructorOpts } from "node:net";

/** The buffers that a socket reads into. */
export interface UserBuffer {
  /** Returns the array for the next bytes. Called before every read. */
  readonly buffer: () => Uint8Array;
  /** `count` bytes are at the start of the array. */
  readonly callback: (count: number) => void;
}

/** Internal fields of a socket that `adoptWithUserBuffer` uses. Node 20, 22 and 24 have them. */
interface SocketInternals {
  _handle: object | null;
  _server: unknown;
}

/**
 * Returns a socket with the connection of `accepted` that reads into the given buffers.
 *
 * Node offers `onread` only for outgoing connections. For accepted ones it allocates a 64 KiB
 * buffer for every read, which doubled the CPU cost of bulk data when measured. So the connection
 * is moved from the accepted socket to a new one. The accepted socket must be paused, and no bytes
 * may have been read from it. Returns null if this version of Node does not support the move; the
 * caller then uses `copyInto`.
 */
export function adoptWithUserBuffer(accepted: Socket, onread: UserBuffer): Socket | null {
  const internals = accepted as unknown as SocketInternals;
  const handle = internals._handle;
  if (handle === null || typeof handle !== "object" || !("useUserBuffer" in handle)) return null;
  // `handle` is an option that Node itself uses for accepted sockets.
  const options = { handle, onread: onReadOptions(onread), pauseOnCreate: true };
  const adopted = new Socket(options as unknown as SocketConstructorOpts);
  // Without its handle, destroying the old socket does not close the connection. The server no
  // longer counts the socket.
  internals._handle = null;
  accepted.destroy();
  return adopted;
}

/**
 * Returns the `onread` option of `net.connect`. Its type requires that `callback` returns a
 * boolean.
 */
export function onReadOptions(onread: UserBuffer): {
  buffer: () => Uint8Array;
  callback: (count: number) => boolean;
} {
  return {
    buffer: onread.buffer,
    callback: (count) => {
      onread.callback(count);
      return true; // Continue to read. A receiver that must pause calls `socket.pause`.
    },
  };
}

/**
 * Reads with buffers of Node and copies their bytes. Slower than `onread`, but always available.
 */
export function copyInto(socket: Socket, onread: UserBuffer): void {
  socket.on("data", (bytes: Uint8Array) => {
    let offset = 0;
    while (offset < bytes.length) {
      if (socket.isPaused()) {
        socket.unshift(bytes.subarray(offset)); // Emitted again after the pause.
        return;
      }
      const target = onread.buffer();
      const count = Math.min(target.length, bytes.length - offset);
      target.set(bytes.subarray(offset, offset + count));
      offset += count;
      onread.callback(count);
    }
  });
}
