import { Socket, type SocketConstructorOpts } from "node:net";

/** Where a socket's bytes go. */
export interface UserBuffer {
  /** Asked before every read: the next bytes go to the start of this array. */
  readonly buffer: () => Uint8Array;
  /** So many bytes came. */
  readonly callback: (count: number) => void;
}

/** What of a socket's insides the trick below needs. Present in Node 20, 22 and 24. */
interface SocketInsides {
  _handle: object | null;
  _server: unknown;
}

/**
 * A socket that reads into buffers of ours, on the connection that `accepted` has just taken.
 *
 * Node offers `onread` for connections that we open, and not for those that we accept: there it
 * makes a 64 KiB buffer for every read, which doubled the cost of bulk data in our measurements. So
 * the connection is taken from the accepted socket (which must be paused and not read from) and
 * given to a new one. Null if this version of Node does not let us: see `copyInto`.
 */
export function adoptWithUserBuffer(accepted: Socket, onread: UserBuffer): Socket | null {
  const insides = accepted as unknown as SocketInsides;
  const handle = insides._handle;
  if (handle === null || typeof handle !== "object" || !("useUserBuffer" in handle)) return null;
  // `handle` is an option that Node uses for its own accepted sockets.
  const options = { handle, onread: onReadOptions(onread), pauseOnCreate: true };
  const adopted = new Socket(options as unknown as SocketConstructorOpts);
  // Without its handle the old socket closes nothing; the server no longer counts it.
  insides._handle = null;
  accepted.destroy();
  return adopted;
}

/** The option of `net.connect`; its types do not know yet that `callback` may return nothing. */
export function onReadOptions(onread: UserBuffer): {
  buffer: () => Uint8Array;
  callback: (count: number) => boolean;
} {
  return {
    buffer: onread.buffer,
    callback: (count) => {
      onread.callback(count);
      return true; // Whoever wants a pause pauses the socket.
    },
  };
}

/** The slow way, which works everywhere: Node reads into buffers of its own, and we copy. */
export function copyInto(socket: Socket, onread: UserBuffer): void {
  socket.on("data", (bytes: Uint8Array) => {
    let offset = 0;
    while (offset < bytes.length) {
      if (socket.isPaused()) {
        socket.unshift(bytes.subarray(offset)); // Comes again after the pause.
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
