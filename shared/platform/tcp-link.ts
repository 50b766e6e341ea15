import type { Socket } from "node:net";
import { formatAddress } from "../base/address.ts";
import { assert, present } from "../base/assert.ts";
import { AshlarError } from "../base/errors.ts";
import type { Link, LinkReceiver } from "../ports/network.ts";
import type { UserBuffer } from "./user-buffer.ts";

/**
 * Passes a socket's bytes to the receiver of the link.
 *
 * The reader is created before the socket, because the socket requests a buffer before there is a
 * receiver. The first buffer has room for one byte. The receiver provides the later buffers.
 */
export class SocketReader implements UserBuffer {
  #receiver: LinkReceiver | null = null;
  #early: Uint8Array | null = null;

  readonly buffer = (): Uint8Array => {
    if (this.#receiver !== null) return this.#receiver.buffer();
    this.#early = new Uint8Array(1);
    return this.#early;
  };

  readonly callback = (count: number): void => {
    const receiver = present(this.#receiver, "a link is started before its first bytes arrive");
    if (this.#early !== null) {
      receiver.buffer().set(this.#early);
      this.#early = null;
    }
    receiver.onBytes(count);
  };

  start(receiver: LinkReceiver): void {
    assert(this.#receiver === null, "a link is started once");
    this.#receiver = receiver;
  }

  end(error: Error | null): void {
    this.#receiver?.onClosed(error);
  }
}

/** A TCP connection. */
export class TcpLink implements Link {
  readonly peerAddress: string;
  readonly #socket: Socket;
  readonly #reader: SocketReader;
  #error: Error | null = null;
  #isPaused = false;

  constructor(socket: Socket, reader: SocketReader) {
    this.#socket = socket;
    this.#reader = reader;
    const { remoteAddress = "unknown", remotePort = 0 } = socket;
    this.peerAddress = formatAddress({ host: remoteAddress, port: remotePort });
    socket.on("error", (error) => {
      this.#error = error;
    });
    socket.on("close", () => reader.end(this.#error));
  }

  start(receiver: LinkReceiver): void {
    this.#reader.start(receiver);
    if (!this.#isPaused) this.#socket.resume();
  }

  write(parts: readonly Uint8Array[]): Promise<void> {
    return new Promise((resolve, reject) => {
      const onWritten = (error: Error | null | undefined): void => {
        if (error === null || error === undefined) resolve();
        else reject(this.#lost(error));
      };
      const last = parts.length - 1;
      if (last < 0) {
        resolve();
        return;
      }
      if (last > 0) this.#socket.cork(); // All parts become one writev(2).
      for (const [position, part] of parts.entries()) {
        if (position === last) this.#socket.write(part, onWritten);
        else this.#socket.write(part);
      }
      if (last > 0) this.#socket.uncork();
    });
  }

  pause(): void {
    this.#isPaused = true;
    this.#socket.pause();
  }

  resume(): void {
    this.#isPaused = false;
    this.#socket.resume();
  }

  close(): void {
    this.#socket.end();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  #lost(cause: Error): AshlarError {
    const reason = this.#error?.message ?? cause.message;
    const message = `Lost the connection to ${this.peerAddress}: ${reason}`;
    return new AshlarError("CONNECTION_LOST", message, { cause });
  }
}
