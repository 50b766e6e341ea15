import { AshlarError, fromErrorData } from "../base/errors.ts";
import type { ClusterId } from "../base/ids.ts";
import { parseErrorData } from "../protocol/error-codec.ts";
import { FRAME_KINDS, type FrameKind, MAGIC } from "./frame.ts";
import type { Frame } from "./frame-reader.ts";
import type { WireLimits } from "./limits.ts";
import { type Hello, parseHello } from "./messages.ts";
import type { Multiplexer, MultiplexerHandler } from "./multiplexer.ts";
import { type PeerIdentity, PROTOCOL_VERSION, PROTOCOL_VERSION_OLDEST, type Role } from "./rpc.ts";

export interface PeerExpectation {
  /** WRONG_ROLE if the other end has another. */
  readonly role?: Role;
  /** WRONG_CLUSTER if the other end is of another; `null` and absent take any. */
  readonly clusterId?: ClusterId | null;
}

/** Says who we are: `kind` is hello, or welcome in answer to it. */
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

/** The hello in `frame`. @throws {AshlarError} PROTOCOL_ERROR if the peer does not speak our wire. */
export function readHello(frame: Frame, kind: FrameKind): Hello {
  if (frame.header.streamId !== MAGIC) {
    throw new AshlarError("PROTOCOL_ERROR", "The peer does not speak Ashlar's wire protocol");
  }
  if (frame.header.kind === FRAME_KINDS.refusal) throw fromErrorData(parseErrorData(frame.head));
  if (frame.header.kind !== kind) {
    throw new AshlarError("PROTOCOL_ERROR", `The peer sent kind ${frame.header.kind} for a hello`);
  }
  if (frame.headError !== null) throw frame.headError;
  return parseHello(frame.head);
}

/** @throws {AshlarError} VERSION_MISMATCH */
export function checkVersion(hello: Hello, peerAddress: string): void {
  if (hello.version >= PROTOCOL_VERSION_OLDEST && PROTOCOL_VERSION >= hello.versionOldest) return;
  throw new AshlarError(
    "VERSION_MISMATCH",
    `Cannot talk to ${hello.identity.role} ${peerAddress}: it speaks wire protocol ${hello.versionOldest} to ${hello.version}, this end ${PROTOCOL_VERSION_OLDEST} to ${PROTOCOL_VERSION}`,
    { hint: "Upgrade the older of the two" },
  );
}

/** @throws {AshlarError} WRONG_ROLE, WRONG_CLUSTER */
export function checkPeer(peer: PeerIdentity, expect: PeerExpectation, peerAddress: string): void {
  if (expect.role !== undefined && peer.role !== expect.role) {
    throw new AshlarError(
      "WRONG_ROLE",
      `Cannot use ${peerAddress} as a ${expect.role}: a ${peer.role} answers there`,
      { details: { address: peerAddress, role: peer.role } },
    );
  }
  const wanted = expect.clusterId ?? null;
  if (wanted === null || peer.clusterId === null || peer.clusterId === wanted) return;
  throw new AshlarError(
    "WRONG_CLUSTER",
    `Cannot talk to ${peer.role} ${peerAddress}: it belongs to cluster ${peer.clusterId}, not to ${wanted}`,
    { details: { address: peerAddress, clusterId: peer.clusterId } },
  );
}

export interface HandshakeHandlerOptions {
  /** The first frame. Called in the turn it came in, so that the next one finds its handler. */
  readonly onFrame: (frame: Frame) => void;
  /** The connection ended before the handshake did. */
  readonly onClosed: (error: AshlarError | null) => void;
}

/** Handles the one frame that a peer says hello with. */
export class HandshakeHandler implements MultiplexerHandler {
  readonly #options: HandshakeHandlerOptions;
  #isOver = false;

  constructor(options: HandshakeHandlerOptions) {
    this.#options = options;
  }

  onFrame(frame: Frame): void {
    if (this.#isOver) return; // It was refused, and has not heard of it yet.
    this.#isOver = true;
    this.#options.onFrame(frame);
  }

  wants(): boolean {
    return false;
  }

  onUnwanted(): void {}

  dues(): [] {
    return [];
  }

  onClosed(error: AshlarError | null): void {
    this.#isOver = true;
    this.#options.onClosed(error);
  }
}
