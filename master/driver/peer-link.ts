import { AshlarError, isAshlarError } from "../../shared/base/errors.ts";
import { LogPace } from "../../shared/flow/log-pace.ts";
import { nextDelayMs, type RetryPolicy } from "../../shared/flow/retry.ts";
import type { Clock } from "../../shared/ports/clock.ts";
import type { Log } from "../../shared/ports/log.ts";
import type { Random } from "../../shared/ports/random.ts";
import { raftMessages } from "../../shared/protocol/raft-api.ts";
import type { Connection, Stream } from "../../shared/wire/rpc.ts";
import { entriesSizeBytes } from "../raft/entries.ts";
import { encodeMessages } from "../raft/message-encoding.ts";
import type { PeerMessage } from "../raft/messages.ts";
import type { Founding } from "./founding.ts";
import {
  connectToPeer,
  connectWithHandshake,
  envelopeTo,
  type HandshakeOptions,
  type HandshakeReply,
  sayHello,
} from "./peer-handshake.ts";

/** Delay between two attempts to connect. */
const RETRY: RetryPolicy = { delayMsMin: 50, delayMsMax: 1_000 };
/**
 * Timeout of a stream, which the wire requires, in milliseconds. After it a new stream is opened.
 */
const STREAM_LIFETIME_MS = 60 * 60 * 1_000;
/**
 * Largest total size of the messages in one body, unless a single message is larger. The wire
 * allows bodies of 8 MiB, and one message can be a little larger than 4 MiB.
 */
const BODY_BYTES_MAX = 4 * 1024 * 1024;
/** Estimated size of a message without entries. */
const HEARTBEAT_BYTES = 128;

/** Dependencies and settings of a PeerLink. */
export interface PeerLinkOptions extends Omit<HandshakeOptions, "signal"> {
  readonly founding: Founding;
  /** Called when messages can be sent to the peer. */
  readonly onConnected: () => void;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Maximum number of bytes that the peer has not acknowledged. Further messages are dropped. */
  readonly pendingBytesMax: number;
}

/**
 * The link to one peer: a connection with one stream of Raft messages. Reconnects until it is
 * closed. While the peer is slow or unreachable, messages are dropped and not queued: the core
 * repeats every message that is still needed, and outdated messages are useless.
 */
export class PeerLink {
  readonly #options: PeerLinkOptions;
  readonly #aborting = new AbortController();
  /** Ends the current pause. Null if the link does not pause. */
  #pausing: AbortController | null = null;
  readonly #running: Promise<void>;
  #stream: Stream<Record<string, never>, Record<string, never>> | null = null;
  /** By error code. */
  readonly #pace: LogPace<string>;
  /** Whether a problem was logged since the peer was last reachable. */
  #isProblemLogged = false;

  constructor(options: PeerLinkOptions) {
    this.#options = options;
    this.#pace = new LogPace(options.clock);
    this.#running = this.#run();
  }

  /** Whether the stream to the peer is open. */
  get isConnected(): boolean {
    return this.#stream !== null;
  }

  /** Ends the pause before the next attempt or handshake, if there is one. */
  poke(): void {
    this.#pausing?.abort();
  }

  /** Sends `messages` in order. @returns false if some of them were dropped */
  send(messages: readonly PeerMessage[]): boolean {
    const stream = this.#stream;
    if (stream === null) return false;
    for (const part of batchesOf(messages)) {
      const body = encodeMessages(part);
      const isRoom = stream.pendingBytes + body.length <= this.#options.pendingBytesMax;
      // An empty stream accepts a body of any size.
      if (!isRoom && stream.pendingBytes > 0) return false;
      stream.send({}, body).catch(() => {
        // The stream has ended: `#run` reconnects, and the core repeats lost messages.
      });
    }
    // Entries start a disk write at the peer, so they are sent now. Other messages can share a
    // packet with later messages of this turn.
    if (messages.some(hasEntries)) stream.flush();
    return true;
  }

  /** Resolves when the connection is closed. */
  async close(): Promise<void> {
    this.#aborting.abort(new AshlarError("CANCELLED", "This member is stopping"));
    this.poke();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { founding, peer, log } = this.#options;
    const { signal } = this.#aborting;
    for (let attempt = 1; !signal.aborted; attempt += 1) {
      try {
        const connection = await this.#connect();
        if (this.#isProblemLogged) log.info("A peer is reachable again", { peer: peer.id });
        this.#isProblemLogged = false;
        attempt = 0;
        await this.#runStream(connection);
      } catch (error) {
        if (!isAshlarError(error)) throw error;
        founding.noteFailure(peer.id, error);
        this.#logProblem(error);
      }
      await this.#pause(Math.max(attempt, 1));
    }
  }

  /** Resolves with a connection on which Raft messages may be sent. */
  async #connect(): Promise<Connection> {
    const { founding } = this.#options;
    const options = { ...this.#options, signal: this.#aborting.signal };
    if (founding.isOpen) return connectToPeer(options);
    const { round } = founding;
    return connectWithHandshake(options, (reply, connection) =>
      this.#waitUntilOpen({ reply, round }, connection),
    );
  }

  /** Repeats the handshake until this member takes part in the group. */
  async #waitUntilOpen(
    first: { readonly reply: HandshakeReply; readonly round: number },
    connection: Connection,
  ): Promise<void> {
    const { founding, incarnations, peer, onHandshake } = this.#options;
    const { signal } = this.#aborting;
    let { reply, round } = first;
    for (let attempt = 1; ; attempt += 1) {
      onHandshake?.(reply);
      await founding.noteReply(peer.id, reply, round);
      if (founding.isOpen) break;
      if (round === founding.round) await this.#pause(attempt);
      signal.throwIfAborted();
      round = founding.round;
      reply = await sayHello({ ...this.#options, signal }, connection);
    }
    await incarnations.check(peer.id, reply.incarnation);
  }

  /** Waits before the next attempt, until `poke` or `close` is called. */
  async #pause(attempt: number): Promise<void> {
    const { clock, random } = this.#options;
    if (this.#aborting.signal.aborted) return;
    this.#pausing = new AbortController();
    const delayMs = nextDelayMs(attempt, RETRY, random.fraction());
    await clock.sleep(delayMs, this.#pausing.signal).catch(() => {}); // Aborted: the pause ends.
    this.#pausing = null;
  }

  /** Opens the stream of Raft messages. Resolves or rejects when the stream ends. */
  async #runStream(connection: Connection): Promise<void> {
    const { own, peer, onConnected } = this.#options;
    const { signal } = this.#aborting;
    const stream = connection.open(raftMessages, envelopeTo(own, peer.id), {
      timeoutMs: STREAM_LIFETIME_MS,
      signal,
    });
    this.#stream = stream;
    onConnected();
    try {
      const message = await stream.receive();
      message?.release();
    } finally {
      this.#stream = null;
      await connection.close(0);
    }
  }

  /** Logs a failed attempt, unless one with the same code was logged in the last minute. */
  #logProblem(error: AshlarError): void {
    const { log, peer } = this.#options;
    if (this.#aborting.signal.aborted) return;
    const unloggedCount = this.#pace.admit(error.code);
    if (unloggedCount === null) return;
    this.#isProblemLogged = true;
    const isRefusal = error.code === "WRONG_IDENTITY" || error.code === "WRONG_CLUSTER";
    const fields = { peer: peer.id, address: peer.address, unloggedCount, error };
    const { unrecorded } = error.details;
    if (isRefusal) log.error("A peer was refused, or refused this member", fields);
    else if (!Array.isArray(unrecorded)) log.warn("Cannot reach a peer", fields);
    else if (unrecorded.includes(peer.id)) {
      log.error("Cannot record the incarnation of a peer", fields);
    } else log.warn("A peer cannot record the incarnation of this member", fields);
  }
}

/** Splits `messages` into batches of at most BODY_BYTES_MAX, in order. */
function* batchesOf(messages: readonly PeerMessage[]): Generator<PeerMessage[], void, void> {
  let part: PeerMessage[] = [];
  let sizeBytes = 0;
  for (const message of messages) {
    const messageBytes = sizeOf(message);
    if (part.length > 0 && sizeBytes + messageBytes > BODY_BYTES_MAX) {
      yield part;
      part = [];
      sizeBytes = 0;
    }
    part.push(message);
    sizeBytes += messageBytes;
  }
  if (part.length > 0) yield part;
}

function hasEntries(message: PeerMessage): boolean {
  return message.kind === "append-request" && message.entries.length > 0;
}

function sizeOf(message: PeerMessage): number {
  if (message.kind !== "append-request") return HEARTBEAT_BYTES;
  return HEARTBEAT_BYTES + entriesSizeBytes(message.entries);
}
