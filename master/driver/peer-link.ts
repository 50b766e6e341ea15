import { AshlarError, isAshlarError } from "../../shared/base/errors.ts";
import { nextDelayMs, type RetryPolicy } from "../../shared/flow/retry.ts";
import type { Clock } from "../../shared/ports/clock.ts";
import type { Log } from "../../shared/ports/log.ts";
import type { Random } from "../../shared/ports/random.ts";
import { raftMessages } from "../../shared/protocol/raft-api.ts";
import type { Connection, Stream } from "../../shared/wire/rpc.ts";
import { entriesSizeBytes } from "../raft/entries.ts";
import { encodeMessages } from "../raft/message-encoding.ts";
import type { PeerMessage } from "../raft/messages.ts";
import { connectToPeer, envelopeTo, type HandshakeOptions } from "./peer-handshake.ts";

const RETRY: RetryPolicy = { delayMsMin: 50, delayMsMax: 1_000 };
/** A stream is renewed after so long: nothing on the wire lasts for ever. */
const STREAM_LIFETIME_MS = 60 * 60 * 1_000;
/** Messages sent with one body. The wire takes 8 MiB; one message may be a little over 4. */
const BODY_BYTES_MAX = 4 * 1024 * 1024;
const HEARTBEAT_BYTES = 128;

export interface PeerLinkOptions extends Omit<HandshakeOptions, "signal"> {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Sent and not yet taken by the peer; what comes above it is dropped. */
  readonly pendingBytesMax: number;
}

/**
 * The way to one peer: one connection of its own with one stream of Raft messages. Messages are
 * dropped rather than queued when the peer does not keep up or is not there: the core repeats what
 * matters, and old messages help nobody.
 */
export class PeerLink {
  readonly #options: PeerLinkOptions;
  readonly #aborting = new AbortController();
  readonly #running: Promise<void>;
  #stream: Stream<Record<string, never>, Record<string, never>> | null = null;
  #lastProblem = "";

  constructor(options: PeerLinkOptions) {
    this.#options = options;
    this.#running = this.#run();
  }

  get isConnected(): boolean {
    return this.#stream !== null;
  }

  /** @returns false if some of the messages were dropped. */
  send(messages: readonly PeerMessage[]): boolean {
    const stream = this.#stream;
    if (stream === null) return false;
    for (const part of batchesOf(messages)) {
      const body = encodeMessages(part);
      const isRoom = stream.pendingBytes + body.length <= this.#options.pendingBytesMax;
      // One body always fits into an empty stream, however large.
      if (!isRoom && stream.pendingBytes > 0) return false;
      stream.send({}, body).catch(() => {
        // The stream has ended, which `#run` sees; what was lost is repeated by the core.
      });
    }
    // The peer's disk has work to do. All else may travel with what this event still brings about.
    if (messages.some(hasEntries)) stream.flush();
    return true;
  }

  async close(): Promise<void> {
    this.#aborting.abort(new AshlarError("CANCELLED", "This member stops"));
    await this.#running;
  }

  async #run(): Promise<void> {
    const { clock, random, peer, log } = this.#options;
    const { signal } = this.#aborting;
    for (let attempt = 1; !signal.aborted; attempt += 1) {
      try {
        const connection = await connectToPeer({ ...this.#options, signal });
        if (this.#lastProblem !== "") log.info("A peer is back", { peer: peer.id });
        this.#lastProblem = "";
        attempt = 0;
        await this.#runStream(connection);
      } catch (error) {
        if (!isAshlarError(error)) throw error;
        this.#logProblem(error);
      }
      if (signal.aborted) return;
      const delayMs = nextDelayMs(Math.max(attempt, 1), RETRY, random.fraction());
      await clock.sleep(delayMs, signal).catch(() => {}); // Aborted: the loop ends.
    }
  }

  /** Until the stream ends, whyever. */
  async #runStream(connection: Connection): Promise<void> {
    const { own, peer } = this.#options;
    const { signal } = this.#aborting;
    const stream = connection.open(raftMessages, envelopeTo(own, peer.id), {
      timeoutMs: STREAM_LIFETIME_MS,
      signal,
    });
    this.#stream = stream;
    try {
      const message = await stream.receive();
      message?.release();
    } finally {
      this.#stream = null;
      await connection.close(0);
    }
  }

  /** A problem is told once, not at every attempt. */
  #logProblem(error: AshlarError): void {
    const { log, peer } = this.#options;
    const problem = `${error.code} ${error.message}`;
    if (this.#aborting.signal.aborted || problem === this.#lastProblem) return;
    this.#lastProblem = problem;
    const isWrong = error.code === "WRONG_IDENTITY" || error.code === "WRONG_CLUSTER";
    const fields = { peer: peer.id, address: peer.address, error };
    if (isWrong) log.error("A peer is refused, or refuses this member", fields);
    else log.warn("A peer cannot be reached", fields);
  }
}

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
