import { concatBytes } from "../../shared/base/bytes.ts";
import type { Link, Network } from "../../shared/ports/network.ts";
import { FRAME_KINDS, type FrameHeader, HEADER_BYTES, MAGIC } from "../../shared/wire/frame.ts";
import { FrameCodec, type FrameFields } from "../../shared/wire/frame-codec.ts";
import { DEFAULT_WIRE_LIMITS } from "../../shared/wire/limits.ts";
import { PROTOCOL_VERSION } from "../../shared/wire/rpc.ts";
import { CLIENT } from "./wire-fixture.ts";

const codec = new FrameCodec();

/** Returns the bytes of a frame. */
export function frameBytesOf(fields: FrameFields, body = new Uint8Array(0)): Uint8Array {
  const frame = codec.encode({ bodyLength: body.length, ...fields }, 2 ** 30);
  return concatBytes([frame, body]);
}

/** A received frame without its body. */
export interface RawFrame {
  readonly kind: number;
  readonly streamId: number;
  readonly head: unknown;
}

/** A peer that sends any bytes, valid or not. */
export class RawPeer {
  readonly #link: Link;
  readonly #parts: Uint8Array[] = [];
  readonly closed: Promise<void>;
  isClosed = false;

  private constructor(link: Link) {
    this.#link = link;
    const buffer = new Uint8Array(65_536);
    this.closed = new Promise((resolve) => {
      link.start({
        buffer: () => buffer,
        onBytes: (count) => {
          this.#parts.push(buffer.slice(0, count));
        },
        onClosed: () => {
          this.isClosed = true;
          resolve();
        },
      });
    });
  }

  static async connect(network: Network, address: string): Promise<RawPeer> {
    return new RawPeer(await network.connect(address, { timeoutMs: 5000 }));
  }

  send(...parts: readonly Uint8Array[]): void {
    this.#link.write(parts).catch(() => {}); // The other end may have closed the link.
  }

  /** Resolves when the system has accepted all bytes. */
  write(bytes: Uint8Array): Promise<void> {
    return this.#link.write([bytes]);
  }

  hello(changes: Readonly<Record<string, unknown>> = {}): void {
    const head = {
      version: PROTOCOL_VERSION,
      versionOldest: 1,
      identity: CLIENT,
      limits: DEFAULT_WIRE_LIMITS,
      ...changes,
    };
    this.send(frameBytesOf({ kind: FRAME_KINDS.hello, streamId: MAGIC, head }));
  }

  pause(): void {
    this.#link.pause();
  }

  /** Sends the queued bytes, then closes the connection. */
  close(): void {
    this.#link.close();
  }

  destroy(): void {
    this.#link.destroy();
  }

  /** Returns the complete frames that have arrived. */
  frames(): RawFrame[] {
    const bytes = concatBytes(this.#parts);
    const view = new DataView(bytes.buffer);
    const frames: RawFrame[] = [];
    for (let offset = 0; offset + HEADER_BYTES <= bytes.length; ) {
      const kind = bytes[offset] as FrameHeader["kind"];
      const headLength = view.getUint32(offset + 8, true);
      const start = offset + HEADER_BYTES;
      const head = headLength === 0 ? undefined : codec.decode(bytes, start, start + headLength);
      frames.push({ kind, streamId: view.getUint32(offset + 4, true), head });
      offset = start + headLength + view.getUint32(offset + 12, true);
    }
    return frames;
  }
}
