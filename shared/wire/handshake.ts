import { AshlarError, fromErrorData } from "../base/errors.ts";
import type { ClusterId } from "../base/ids.ts";
import { parseErrorData } from "../protocol/error-codec.ts";
import type { Role } from "../protocol/roles.ts";
import { FRAME_KINDS, type FrameHeader, type FrameKind, MAGIC } from "./frame.ts";
import type { Frame } from "./frame-reader.ts";
import { checkMessageHead, type EncodedHead } from "./head-limits.ts";
import type { WireLimits } from "./limits.ts";
import { type Hello, parseHello } from "./messages.ts";
import type { Multiplexer, MultiplexerHandler } from "./multiplexer.ts";
import { type PeerIdentity, PROTOCOL_VERSION, PROTOCOL_VERSION_OLDEST } from "./rpc.ts";

/** Required properties of a peer. */
export interface PeerExpectation {
  /** A peer with another role is refused with WRONG_ROLE. Absent: any role. */
  readonly role?: Role;
  /** A peer of another cluster is refused with WRONG_CLUSTER. `null` or absent: any cluster. */
  readonly clusterId?: ClusterId | null;
}

/**
 * Sends the identity and limits of this end. `kind` is hello, or welcome in response to a hello.
 */
export function postHello(multiplexer: Multiplexer, kind: FrameKind, identity: PeerIdentity): void {
  const hello: Hello = {
    version: PROTOCOL_VERSION,
    versionOldest: PROTOCOL_VERSION_OLDEST,
    identity,
    limits: limitsForPeer(multiplexer.limits),
  };
  const frame = multiplexer.encode({ kind, streamId: MAGIC, head: hello });
  multiplexer.post({ frame, body: null, onSettled: null });
}

function limitsForPeer(limits: WireLimits): Hello["limits"] {
  return {
    headBytesMax: limits.headBytesMax,
    bodyBytesMax: limits.bodyBytesMax,
    streamWindowBytes: limits.streamWindowBytes,
    connectionWindowBytes: limits.connectionWindowBytes,
    inFlightMax: limits.inFlightMax,
  };
}

/**
 * Returns the hello in `frame`.
 *
 * @throws {AshlarError} PROTOCOL_ERROR if the peer does not speak the wire protocol, or the error
 *   with which the peer refused this end
 */
export function readHello(frame: Frame, kind: FrameKind): Hello {
  if (frame.header.streamId !== MAGIC) {
    throw new AshlarError("PROTOCOL_ERROR", "The peer does not speak Ashlar's wire protocol");
  }
  if (frame.header.kind === FRAME_KINDS.refusal) throw fromErrorData(parseErrorData(frame.head));
  if (frame.header.kind !== kind) {
    throw new AshlarError(
      "PROTOCOL_ERROR",
      `Cannot complete the handshake: expected a frame of kind ${kind}: current value is ${frame.header.kind}`,
    );
  }
  if (frame.headError !== null) throw frame.headError;
  return parseHello(frame.head);
}

/** Checks that both ends support a common version. @throws {AshlarError} VERSION_MISMATCH */
export function checkVersion(hello: Hello, peerAddress: string): void {
  if (hello.version >= PROTOCOL_VERSION_OLDEST && PROTOCOL_VERSION >= hello.versionOldest) return;
  throw new AshlarError(
    "VERSION_MISMATCH",
    `Cannot connect to ${hello.identity.role} ${peerAddress}: expected wire protocol ${PROTOCOL_VERSION_OLDEST} to ${PROTOCOL_VERSION}: the peer supports ${hello.versionOldest} to ${hello.version}`,
    { hint: "Upgrade the older of the two processes" },
  );
}

/** Checks a peer against `expect`. @throws {AshlarError} WRONG_ROLE, WRONG_CLUSTER */
export function checkPeer(peer: PeerIdentity, expect: PeerExpectation, peerAddress: string): void {
  if (expect.role !== undefined && peer.role !== expect.role) {
    throw new AshlarError(
      "WRONG_ROLE",
      `Cannot use ${peerAddress}: expected a ${expect.role}: current role is ${peer.role}`,
      { details: { address: peerAddress, role: peer.role } },
    );
  }
  const expected = expect.clusterId ?? null;
  if (expected === null || peer.clusterId === null || peer.clusterId === expected) return;
  throw new AshlarError(
    "WRONG_CLUSTER",
    `Cannot connect to ${peer.role} ${peerAddress}: expected cluster ${expected}: it belongs to cluster ${peer.clusterId}`,
    { details: { address: peerAddress, clusterId: peer.clusterId } },
  );
}

/** Options of `HandshakeHandler`. */
export interface HandshakeHandlerOptions {
  /**
   * Handles the first frame. Called synchronously during the read: the next handler is set before
   * the next frame is decoded.
   */
  readonly onFrame: (frame: Frame) => void;
  /** The connection was closed before the handshake was complete. */
  readonly onClosed: (error: AshlarError | null) => void;
}

/** Handles the first frame of a connection, which is the peer's part of the handshake. */
export class HandshakeHandler implements MultiplexerHandler {
  readonly #options: HandshakeHandlerOptions;
  #isDone = false;

  constructor(options: HandshakeHandlerOptions) {
    this.#options = options;
  }

  onFrame(frame: Frame): void {
    if (this.#isDone) return; // The peer was refused and has not received the refusal yet.
    this.#isDone = true;
    this.#options.onFrame(frame);
  }

  checkHead(_header: FrameHeader, head: EncodedHead): void {
    checkMessageHead(head);
  }

  leaseBody(): null {
    return null;
  }

  onDropped(): void {}

  expirables(): [] {
    return [];
  }

  onClosed(error: AshlarError | null): void {
    this.#isDone = true;
    this.#options.onClosed(error);
  }
}
