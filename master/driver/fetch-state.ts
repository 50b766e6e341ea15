import * as v from "valibot";
import { AshlarError, isAshlarError } from "../../shared/base/errors.ts";
import { nextDelayMs, type RetryPolicy } from "../../shared/flow/retry.ts";
import type { Clock } from "../../shared/ports/clock.ts";
import type { Hasher } from "../../shared/ports/hasher.ts";
import type { Log } from "../../shared/ports/log.ts";
import type { Random } from "../../shared/ports/random.ts";
import { defineStream } from "../../shared/protocol/method.ts";
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
import type { StateDirectory } from "./member-storage.ts";
import { connectToPeer, envelopeTo, type HandshakeOptions } from "./peer-handshake.ts";
import {
  PartsReceiver,
  type SendPartsOptions,
  type SnapshotHead,
  sendParts,
} from "./snapshot-parts.ts";
import { withStallTimeout } from "./stall-guard.ts";
import type { StateHolder } from "./state-holder.ts";

const LIFETIME_MS = 60 * 60 * 1_000;
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
 * Asks any member for its durable state. For one that has lost its own, and with it the way to start
 * before its log begins. Any member will do: what is durable in a state was committed.
 */
export const raftFetchState = defineStream("raft.fetch-state", {
  open: v.object({
    clusterId: clusterIdSchema,
    from: memberIdSchema,
    to: memberIdSchema,
    fromIncarnation: shortTextSchema,
    /** An older state is of no use: the log of the asker begins here. */
    indexMin: logIndexSchema,
  }),
  up: v.object({}),
  down: v.variant("kind", [beginSchema, partSchema, endSchema]),
});

type FetchHead = v.InferOutput<typeof beginSchema> | SnapshotHead;

export interface ServeStateOptions extends SendPartsOptions {
  readonly machine: StateMachine;
  readonly indexMin: number;
  readonly clock: Clock;
  readonly stallMs: number;
}

/** @throws {AshlarError} UNAVAILABLE if the state here is older than what is asked for. */
export async function serveState(
  stream: Stream<FetchHead, Record<string, never>>,
  options: ServeStateOptions,
): Promise<void> {
  const { machine, indexMin, clock, stallMs } = options;
  const snapshot = machine.openSnapshot();
  try {
    if (snapshot.index < indexMin) {
      throw new AshlarError(
        "UNAVAILABLE",
        `Cannot give the state at index ${indexMin} or later: the one here is at ${snapshot.index}`,
      );
    }
    const giveUp = (error: AshlarError): void => stream.cancel(error);
    const send = (head: FetchHead, body?: Uint8Array): Promise<void> =>
      withStallTimeout(clock, stallMs, { work: stream.send(head, body), giveUp });
    await send({ kind: "begin", index: snapshot.index, term: snapshot.term });
    await sendParts(snapshot, options, send);
    stream.end();
  } finally {
    snapshot.release();
  }
}

export interface FetchStateOptions extends Omit<HandshakeOptions, "peer"> {
  readonly clock: Clock;
  readonly random: Random;
  readonly hasher: Hasher;
  readonly log: Log;
  readonly states: StateDirectory;
  readonly holder: StateHolder;
  readonly candidates: readonly MemberAddress[];
  readonly indexMin: EntryPosition["index"];
  readonly stallMs: number;
}

/**
 * Fetches a state at or after `indexMin` and puts it in place of the current one. Asks one peer
 * after the other until one gives it, however long that takes.
 *
 * @throws {AshlarError} the signal's reason; DISK_FAILED, NO_SPACE of the own disk.
 */
export async function fetchState(options: FetchStateOptions): Promise<void> {
  const { clock, random, log, candidates, signal, indexMin } = options;
  for (let attempt = 1; ; attempt += 1) {
    for (const peer of candidates) {
      signal.throwIfAborted();
      try {
        const index = await fetchFromPeer(options, peer);
        log.info("The state was fetched from a peer", { peer: peer.id, index });
        return;
      } catch (error) {
        if (!isAshlarError(error) || isOwnDisk(error)) throw error;
        log.warn("A peer gave no state", { peer: peer.id, indexMin, error });
      }
    }
    await clock.sleep(nextDelayMs(attempt, RETRY, random.fraction()), signal);
  }
}

function isOwnDisk(error: AshlarError): boolean {
  return error.code === "DISK_FAILED" || error.code === "NO_SPACE";
}

async function fetchFromPeer(options: FetchStateOptions, peer: MemberAddress): Promise<number> {
  const connection = await connectToPeer({ ...options, peer });
  try {
    return await fetchOver(connection, options, peer);
  } finally {
    await connection.close(0);
  }
}

async function fetchOver(
  connection: Connection,
  options: FetchStateOptions,
  peer: MemberAddress,
): Promise<number> {
  const { own, states, holder, indexMin, signal } = options;
  const named = await states.openFresh();
  let isTaken = false;
  try {
    const open = { ...envelopeTo(own, peer.id), indexMin };
    const stream = connection.open(raftFetchState, open, { timeoutMs: LIFETIME_MS, signal });
    const parts = new PartsReceiver(named.store, options.hasher);
    const position = await receiveParts(options, stream, parts);
    if (position.index < indexMin) {
      throw new AshlarError("UNAVAILABLE", `The state is at index ${position.index} only`);
    }
    const prepared = holder.prepare(named, position, parts.stateHash);
    await holder.replace(prepared);
    isTaken = true;
    return position.index;
  } finally {
    if (!isTaken) await holder.discard(named);
  }
}

async function receiveParts(
  options: FetchStateOptions,
  stream: Stream<Record<string, never>, FetchHead>,
  parts: PartsReceiver,
): Promise<EntryPosition> {
  const { clock, stallMs } = options;
  const giveUp = (error: AshlarError): void => stream.cancel(error);
  let position: EntryPosition | null = null;
  for (;;) {
    const message = await withStallTimeout(clock, stallMs, { work: stream.receive(), giveUp });
    if (message === null) throw new AshlarError("CONNECTION_LOST", "The state ends too early");
    const { head } = message;
    if (head.kind === "begin") {
      message.release();
      position = { index: head.index, term: head.term };
    } else if (await parts.receive(head, message)) {
      if (position !== null) return position;
      throw new AshlarError("PROTOCOL_ERROR", "The state has an end and no beginning");
    }
  }
}
