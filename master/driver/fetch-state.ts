import * as v from "valibot";
import { AshlarError, isAshlarError } from "../../shared/base/errors.ts";
import { LogPace } from "../../shared/flow/log-pace.ts";
import { nextDelayMs, type RetryPolicy } from "../../shared/flow/retry.ts";
import type { Clock } from "../../shared/ports/clock.ts";
import type { Hasher } from "../../shared/ports/hasher.ts";
import type { Log } from "../../shared/ports/log.ts";
import type { Random } from "../../shared/ports/random.ts";
import { defineStream } from "../../shared/protocol/method.ts";
import { BY_MASTERS } from "../../shared/protocol/roles.ts";
import {
  clusterIdSchema,
  countSchema,
  digestSchema,
  logIndexSchema,
  memberIdSchema,
  shortTextSchema,
  termSchema,
} from "../../shared/protocol/schemas.ts";
import type { Connection, Stream } from "../../shared/wire/rpc.ts";
import type { MemberAddress } from "../consensus.ts";
import type { EntryPosition } from "../raft/messages.ts";
import type { StateMachine } from "../state-machine.ts";
import { GuardedStream } from "./guarded-stream.ts";
import type { StateDirectory } from "./member-storage.ts";
import { PartsReceiver } from "./parts-receiver.ts";
import { connectToPeer, envelopeTo, type HandshakeOptions } from "./peer-handshake.ts";
import { type PartsHead, type PartsSettings, sendParts } from "./snapshot-parts.ts";
import type { StateHolder } from "./state-holder.ts";

/**
 * Timeout of the whole transfer, in milliseconds. The stall timeout detects a dead peer earlier.
 */
const STREAM_LIFETIME_MS = 60 * 60 * 1_000;
/** Delay between two rounds over all candidates. */
const RETRY: RetryPolicy = { delayMsMin: 200, delayMsMax: 5_000 };

const beginSchema = v.object({
  kind: v.literal("begin"),
  index: logIndexSchema,
  term: termSchema,
});
const partSchema = v.object({ kind: v.literal("part"), entryCount: countSchema });
const endSchema = v.object({
  kind: v.literal("end"),
  entryCount: countSchema,
  digest: digestSchema,
});

/**
 * The stream in which a member requests the durable state of another member. Used by a member that
 * lost its state and cannot replay its log, because the log does not begin with the first entry.
 * Any member can serve the stream: a durable state contains committed entries only.
 */
export const raftFetchState = defineStream("raft.fetch-state", BY_MASTERS, {
  open: v.object({
    clusterId: clusterIdSchema,
    from: memberIdSchema,
    to: memberIdSchema,
    fromIncarnation: shortTextSchema,
    /** Smallest usable index of the state: the log of the requesting member begins here. */
    indexMin: logIndexSchema,
  }),
  up: v.object({}),
  down: v.variant("kind", [beginSchema, partSchema, endSchema]),
});

type FetchHead = v.InferOutput<typeof beginSchema> | PartsHead;

/** Options of `serveState`. */
export interface ServeStateOptions extends PartsSettings {
  readonly machine: StateMachine;
  /** Smallest index that is useful to the requesting member. */
  readonly indexMin: number;
  readonly clock: Clock;
  readonly stallMs: number;
}

/**
 * Sends the durable state of this member.
 *
 * @throws {AshlarError} UNAVAILABLE if the state is older than `indexMin`; see `sendParts`.
 */
export async function serveState(
  stream: Stream<FetchHead, Record<string, never>>,
  options: ServeStateOptions,
): Promise<void> {
  const { machine, indexMin } = options;
  const guarded = new GuardedStream(stream, options);
  const snapshot = machine.openSnapshot();
  try {
    if (snapshot.index < indexMin) {
      throw new AshlarError(
        "UNAVAILABLE",
        `Cannot send the state: expected index ${indexMin} or later: current value is ${snapshot.index}`,
      );
    }
    await guarded.send({ kind: "begin", index: snapshot.index, term: snapshot.term });
    const turn = (): Promise<void> => options.clock.yieldTurn();
    await sendParts(snapshot, { ...options, turn }, (head, body) => guarded.send(head, body));
    guarded.end();
  } finally {
    snapshot.release();
  }
}

/** Options of `fetchState`. */
export interface FetchStateOptions extends Omit<HandshakeOptions, "peer"> {
  readonly clock: Clock;
  readonly random: Random;
  readonly hasher: Hasher;
  readonly log: Log;
  readonly states: StateDirectory;
  readonly holder: StateHolder;
  /** The peers to ask, in this order. */
  readonly candidates: readonly MemberAddress[];
  /** Smallest usable index of the state. */
  readonly indexMin: EntryPosition["index"];
  readonly stallMs: number;
}

/**
 * Fetches a state at or after `indexMin` from a peer and replaces the current state by it. Tries
 * the candidates in turn, without a limit on the number of attempts, until one of them sends its
 * state.
 *
 * Resolves when the new state is durable and current.
 *
 * @throws {AshlarError} the signal's reason; DISK_FAILED, NO_SPACE of the local disk.
 */
export async function fetchState(options: FetchStateOptions): Promise<void> {
  const { clock, random, log, candidates, signal, indexMin } = options;
  const pace = new LogPace<string>(clock);
  for (let attempt = 1; ; attempt += 1) {
    for (const peer of candidates) {
      signal.throwIfAborted();
      try {
        const index = await fetchFromPeer(options, peer);
        log.info("Fetched the state from a peer", { peer: peer.id, index });
        return;
      } catch (error) {
        if (!isAshlarError(error) || isLocalDiskError(error)) throw error;
        const unloggedCount = pace.admit(`${peer.id} ${error.code}`);
        if (unloggedCount === null) continue;
        const fields = { peer: peer.id, indexMin, unloggedCount, error };
        log.warn("Cannot fetch the state from a peer", fields);
      }
    }
    await clock.sleep(nextDelayMs(attempt, RETRY, random.fraction()), signal);
  }
}

function isLocalDiskError(error: AshlarError): boolean {
  return error.code === "DISK_FAILED" || error.code === "NO_SPACE";
}

async function fetchFromPeer(options: FetchStateOptions, peer: MemberAddress): Promise<number> {
  const connection = await connectToPeer({ ...options, peer });
  try {
    return await fetchOverConnection(connection, options, peer);
  } finally {
    await connection.close(0);
  }
}

async function fetchOverConnection(
  connection: Connection,
  options: FetchStateOptions,
  peer: MemberAddress,
): Promise<number> {
  const { own, states, holder, indexMin, signal } = options;
  const named = await states.openFresh();
  let isInstalled = false;
  try {
    const open = { ...envelopeTo(own, peer.id), indexMin };
    const stream = connection.open(raftFetchState, open, { timeoutMs: STREAM_LIFETIME_MS, signal });
    // A transfer that ends early begins again: no ranges are needed.
    const parts = new PartsReceiver(named.store, { ...options, ranges: null });
    const position = await receiveParts(new GuardedStream(stream, options), parts);
    if (position.index < indexMin) {
      throw new AshlarError(
        "UNAVAILABLE",
        `Cannot use the state: expected index ${indexMin} or later: current value is ${position.index}`,
      );
    }
    const prepared = holder.prepare(named, position, parts.stateHash);
    await holder.replace(prepared);
    isInstalled = true;
    return position.index;
  } finally {
    if (!isInstalled) await holder.discard(named);
  }
}

async function receiveParts(
  stream: GuardedStream<Record<string, never>, FetchHead>,
  parts: PartsReceiver,
): Promise<EntryPosition> {
  let position: EntryPosition | null = null;
  for (;;) {
    const message = await stream.receive();
    if (message === null)
      throw new AshlarError(
        "CONNECTION_LOST",
        "Cannot receive the state: the stream ended before the end message",
      );
    const { head } = message;
    if (head.kind === "begin") {
      message.release();
      position = { index: head.index, term: head.term };
    } else if (await parts.receive(head, message)) {
      if (position !== null) return position;
      throw new AshlarError(
        "PROTOCOL_ERROR",
        "Cannot receive the state: expected a begin message before the end message",
      );
    }
  }
}
