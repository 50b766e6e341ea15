import { assert, present } from "../../shared/base/assert.ts";
import { AshlarError } from "../../shared/base/errors.ts";
import type { Clock } from "../../shared/ports/clock.ts";
import type { Link, LinkReceiver } from "../../shared/ports/network.ts";

/** The dependencies of one end of a link, from its network. */
export interface Route {
  readonly host: string;
  readonly peerHost: string;
  readonly peerAddress: string;
  readonly clock: Clock;
  /** Clock of the process at this end. */
  readonly processClock: Clock;
  readonly bufferBytes: number;
  readonly delayMs: () => number;
  readonly isCut: () => boolean;
  /** Returns whether the process at this end is paused. */
  readonly isFrozen: () => boolean;
  /** Called before the process at this end receives bytes. */
  readonly onReceive: () => void;
  readonly onClosed: () => void;
}

interface Write {
  readonly bytes: Uint8Array;
  readonly resolve: () => void;
  readonly reject: (error: AshlarError) => void;
}

/** Bytes in transit to the other end; null is the end of the stream. */
interface Packet {
  readonly dueMs: number;
  readonly bytes: Uint8Array | null;
}

/** One end of a link. It holds the bytes in transit from this end to the other end. */
export class MemoryLink implements Link {
  readonly #route: Route;
  #peer: MemoryLink | null = null;
  #receiver: LinkReceiver | null = null;
  /** The array for the next bytes. Like Node, a link requests it after each read. */
  #buffer: Uint8Array = new Uint8Array(0);
  #isPaused = false;
  /** Writes that the system has not accepted yet. */
  readonly #writes: Write[] = [];
  readonly #packets: Packet[] = [];
  #bufferedBytes = 0;
  #isEnding = false;
  /** `failed`: the host lost power, and this end does nothing. */
  #state: "open" | "closed" | "failed" = "open";
  #isDelivering = false;

  constructor(route: Route) {
    this.#route = route;
  }

  get peerAddress(): string {
    return this.#route.peerAddress;
  }

  get host(): string {
    return this.#route.host;
  }

  get peer(): MemoryLink {
    return present(this.#peer, "a link has two ends");
  }

  isBetween(one: string, other: string): boolean {
    const { host, peerHost } = this.#route;
    return (host === one && peerHost === other) || (host === other && peerHost === one);
  }

  setPeer(peer: MemoryLink): void {
    this.#peer = peer;
  }

  start(receiver: LinkReceiver): void {
    assert(this.#receiver === null, "a link is started once");
    this.#receiver = receiver;
    this.#buffer = receiver.buffer();
    this.#route.clock.after(0, () => this.#peer?.deliver());
  }

  write(parts: readonly Uint8Array[]): Promise<void> {
    if (this.#state === "failed") return new Promise(() => {});
    if (this.#state === "closed" || this.#isEnding) return Promise.reject(this.#lost());
    let length = 0;
    for (const part of parts) length += part.length;
    if (length === 0) return Promise.resolve();
    const bytes = new Uint8Array(length);
    let offset = 0;
    for (const part of parts) {
      bytes.set(part, offset);
      offset += part.length;
    }
    return new Promise((resolve, reject) => {
      this.#writes.push({ bytes, resolve, reject });
      this.#acceptWrites();
    });
  }

  pause(): void {
    this.#isPaused = true;
  }

  resume(): void {
    this.#isPaused = false;
    this.#route.clock.after(0, () => this.#peer?.deliver());
  }

  close(): void {
    if (this.#state !== "open" || this.#isEnding) return;
    this.#isEnding = true;
    this.#acceptWrites();
  }

  destroy(): void {
    if (this.#state !== "open") return;
    this.#packets.length = 0;
    this.#push(null);
    this.#end(null);
  }

  reset(error: Error): void {
    this.#end(error);
  }

  failSilently(): void {
    this.#state = "failed";
    this.#packets.length = 0;
    this.#route.onClosed();
  }

  /** Delivers the due bytes that the peer accepts. */
  deliver(): void {
    if (this.#isDelivering) return; // Called by a receiver: the loop below continues.
    this.#isDelivering = true;
    const { clock, isCut } = this.#route;
    while (!isCut()) {
      const packet = this.#packets[0];
      const { peer } = this;
      if (packet === undefined || packet.dueMs > clock.monotonicMs()) break;
      if (packet.bytes !== null && !peer.isReading) break;
      this.#packets.shift();
      if (packet.bytes === null) {
        peer.#end(null);
        this.#end(null);
        break;
      }
      const taken = peer.#receive(packet.bytes);
      this.#bufferedBytes -= taken;
      const rest = packet.bytes.subarray(taken); // The receiver paused, or is closed.
      if (rest.length > 0) this.#packets.unshift({ dueMs: packet.dueMs, bytes: rest });
      this.#acceptWrites();
    }
    this.#isDelivering = false;
  }

  get isReading(): boolean {
    const isOpen = this.#state === "open" && this.#receiver !== null;
    return isOpen && !this.#isPaused && !this.#route.isFrozen();
  }

  /** Called when the process at one end resumes. Writes and bytes may wait at both ends. */
  onThaw(): void {
    if (this.#state !== "open") return;
    this.#acceptWrites();
    this.deliver();
  }

  #acceptWrites(): void {
    const { bufferBytes } = this.#route;
    if (this.#route.isFrozen()) return;
    while (this.#writes.length > 0) {
      const write = this.#writes[0] as Write;
      const isRoom =
        this.#bufferedBytes === 0 || this.#bufferedBytes + write.bytes.length <= bufferBytes;
      if (!isRoom) return;
      this.#writes.shift();
      this.#bufferedBytes += write.bytes.length;
      this.#push(write.bytes);
      write.resolve();
    }
    if (this.#isEnding && this.#state === "open") this.#push(null);
  }

  #push(bytes: Uint8Array | null): void {
    const { clock, delayMs } = this.#route;
    const afterMs = delayMs();
    const lastDueMs = this.#packets.at(-1)?.dueMs ?? 0;
    const dueMs = Math.max(lastDueMs, clock.monotonicMs() + afterMs);
    this.#packets.push({ dueMs, bytes });
    clock.after(dueMs - clock.monotonicMs(), () => this.deliver());
  }

  /** Passes bytes to the receiver. Returns the number that it accepted. */
  #receive(bytes: Uint8Array): number {
    const receiver = present(this.#receiver, "bytes are delivered to a receiver");
    this.#route.onReceive();
    let offset = 0;
    while (offset < bytes.length && this.isReading) {
      assert(this.#buffer.length > 0, "a receiver has room for a byte");
      const part = bytes.subarray(offset, offset + this.#buffer.length);
      this.#buffer.set(part);
      offset += part.length;
      receiver.onBytes(part.length);
      this.#buffer = receiver.buffer();
    }
    return offset;
  }

  #end(error: Error | null): void {
    if (this.#state !== "open") return;
    this.#state = "closed";
    this.#route.onClosed();
    for (const write of this.#writes.splice(0)) write.reject(this.#lost());
    // As with a socket, the close is reported in a separate turn.
    this.#route.processClock.after(0, () => this.#receiver?.onClosed(error));
  }

  #lost(): AshlarError {
    return new AshlarError("CONNECTION_LOST", `Lost the connection to ${this.peerAddress}`);
  }
}
