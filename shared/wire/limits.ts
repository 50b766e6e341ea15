/** What one end of a connection allows. Each end tells the other its receive limits in the handshake. */
export interface WireLimits {
  /** Largest head of a frame that this end accepts. */
  readonly headBytesMax: number;
  /** Largest body of a frame that this end accepts. */
  readonly bodyBytesMax: number;
  /** Bytes of a stream's messages that the peer may send ahead of what was taken here. */
  readonly streamWindowBytes: number;
  /** The same for all streams of a connection together. */
  readonly connectionWindowBytes: number;
  /** Calls and streams under way on one connection; the next one is refused with OVERLOADED. */
  readonly inFlightMax: number;
  /** A peer that was silent for so long is pinged; after twice as long again it is given up. */
  readonly pingIntervalMs: number;
  /** A peer that takes no bytes for so long, though there are some for it, is given up. */
  readonly stallTimeoutMs: number;
  /** A peer that has not shaken hands by then is dropped. */
  readonly handshakeTimeoutMs: number;
}

export const DEFAULT_WIRE_LIMITS: WireLimits = {
  headBytesMax: 1024 * 1024,
  bodyBytesMax: 8 * 1024 * 1024,
  streamWindowBytes: 8 * 1024 * 1024,
  connectionWindowBytes: 32 * 1024 * 1024,
  inFlightMax: 4096,
  pingIntervalMs: 2000,
  stallTimeoutMs: 30_000,
  handshakeTimeoutMs: 5000,
};
