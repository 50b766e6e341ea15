/**
 * Limits of one end of a connection. The handshake exchanges the limits that the peer must keep.
 */
export interface WireLimits {
  /** Longest head of a frame that this end accepts. */
  readonly headBytesMax: number;
  /** Longest body of a frame that this end accepts. */
  readonly bodyBytesMax: number;
  /** Bytes of a stream's messages that the peer may send ahead of the receiver. */
  readonly streamWindowBytes: number;
  /** Bytes that the peer may send ahead on all streams of the connection together. */
  readonly connectionWindowBytes: number;
  /** Calls and streams in progress on one connection. Further ones are refused with OVERLOADED. */
  readonly inFlightMax: number;
  /**
   * Memory of the requests in progress on one connection, in bytes: see `requestMemory`. Further requests
   * are refused with OVERLOADED.
   */
  readonly requestMemoryBytesMax: number;
  /**
   * A silent peer is pinged after this long, and its connection is closed after three times this
   * long.
   */
  readonly pingIntervalMs: number;
  /**
   * The connection is closed after this long without write progress, while a write is in progress.
   */
  readonly stallTimeoutMs: number;
  /** A connection without a complete handshake is closed after this long. */
  readonly handshakeTimeoutMs: number;
}

/** Limits of every process. */
export const DEFAULT_WIRE_LIMITS: WireLimits = {
  headBytesMax: 1024 * 1024,
  bodyBytesMax: 8 * 1024 * 1024,
  streamWindowBytes: 8 * 1024 * 1024,
  connectionWindowBytes: 32 * 1024 * 1024,
  inFlightMax: 4096,
  requestMemoryBytesMax: 192 * 1024 * 1024,
  pingIntervalMs: 2000,
  stallTimeoutMs: 30_000,
  handshakeTimeoutMs: 5000,
};
