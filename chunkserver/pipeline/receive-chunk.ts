import { AssertionError } from "../../shared/base/assert.ts";
import { AshlarError, isAshlarError } from "../../shared/base/errors.ts";
import { BLOCK_BYTES, DIGEST_BYTES, type ServerId } from "../../shared/base/ids.ts";
import type { Clock } from "../../shared/ports/clock.ts";
import type { Hasher } from "../../shared/ports/hasher.ts";
import type { Log } from "../../shared/ports/log.ts";
import type { Counter } from "../../shared/ports/metrics.ts";
import { FRAME_BYTES_MAX } from "../../shared/protocol/chunk-api.ts";
import { blockCount } from "../../shared/protocol/chunk-id.ts";
import { isIntentFor, type Receipt, signReceipt } from "../../shared/protocol/intent.ts";
import type { ConnectionPool } from "../../shared/wire/connection-pool.ts";
import type { CallContext, Received, Stream } from "../../shared/wire/rpc.ts";
import type { ChunkStore } from "../store/chunk-store.ts";
import { firstRottenBlock } from "../store/verify-blocks.ts";
import type { WriteLease } from "../store/writes.ts";
import { fillPartial } from "./fill-partial.ts";
import {
  type ChainBroken,
  chainBroken,
  NextHop,
  type WriteDown,
  type WriteOpen,
  type WriteUp,
} from "./next-hop.ts";
import type { WriteAdmission } from "./write-admission.ts";

export interface ReceiveWorld {
  readonly store: ChunkStore;
  readonly hasher: Hasher;
  readonly clock: Clock;
  readonly log: Log;
  /** Connections to other chunkservers, for bulk data. */
  readonly pool: ConnectionPool;
  readonly admission: WriteAdmission;
  /** The cluster's key of intents and receipts; null until a leader has registered this server. */
  readonly chunkKey: () => Uint8Array | null;
  readonly bytesReceived: Counter;
}

type BlocksHead = Extract<WriteUp, { kind: "blocks" }>;
type SealHead = Extract<WriteUp, { kind: "seal" }>;
type UpStream = Stream<WriteDown, WriteUp>;

/**
 * Serves `chunk.write`: checks blocks, passes them on, writes them, acknowledges, seals.
 *
 * A failure is told to the writer as `failed` with the server to blame; what was received is kept
 * under the write id for the intent's lifetime, so that the chain can be taken up again.
 */
export async function receiveChunk(
  world: ReceiveWorld,
  request: Received<WriteOpen>,
  stream: UpStream,
  context: CallContext,
): Promise<void> {
  request.release();
  const { serverId } = world.store;
  try {
    const chunkKey = checkOpen(world, request.head);
    const leave = world.admission.enter(request.head.sizeHintBytes);
    try {
      await new ChunkWrite(world, { open: request.head, chunkKey, stream, context }).run();
    } finally {
      leave();
    }
  } catch (error) {
    const broken = chainBroken(serverId, error);
    if (broken.cause instanceof AssertionError) throw broken.cause; // A bug: the process stops.
    if (context.signal.aborted) return; // Nobody listens any more.
    logBreak(world, request.head, broken);
    await stream.send({ kind: "failed", serverId: broken.serverId, error: broken.error });
  }
}

/** @throws {AshlarError} UNAVAILABLE, PERMISSION_DENIED, INVALID_ARGUMENT. Returns the chunk key. */
function checkOpen(world: ReceiveWorld, open: WriteOpen): Uint8Array {
  const { serverId } = world.store;
  const chunkKey = world.chunkKey();
  if (chunkKey === null) {
    throw new AshlarError(
      "UNAVAILABLE",
      `Cannot take a write on server ${serverId}: it has not registered with a leader yet`,
    );
  }
  if (!isIntentFor(world.hasher, chunkKey, open.intent, serverId)) {
    throw new AshlarError(
      "PERMISSION_DENIED",
      `Cannot take a write on server ${serverId}: the intent is not the leader's, or is not for it`,
    );
  }
  if (open.intent.servers[open.position]?.serverId !== serverId) {
    throw new AshlarError(
      "INVALID_ARGUMENT",
      `Cannot take a write on server ${serverId}: position ${open.position} of the intent is another`,
    );
  }
  if (open.resumeAtBytes % BLOCK_BYTES !== 0) {
    throw new AshlarError(
      "INVALID_ARGUMENT",
      `Cannot resume a write at byte ${open.resumeAtBytes}: expected a multiple of ${BLOCK_BYTES}`,
    );
  }
  return chunkKey;
}

function logBreak(world: ReceiveWorld, open: WriteOpen, broken: ChainBroken): void {
  world.log.warn("A write chain broke", {
    writeId: open.writeId,
    position: open.position,
    brokenServerId: broken.serverId,
    code: broken.error.code,
    reason: broken.error.message,
    ...(isAshlarError(broken.cause) || broken.cause === undefined ? {} : { error: broken.cause }),
  });
}

interface WriteCall {
  readonly open: WriteOpen;
  readonly chunkKey: Uint8Array;
  readonly stream: UpStream;
  readonly context: CallContext;
}

/**
 * One write, from its opening to its seal.
 *
 * Each frame holds its receive slab until it is written here and sent on; the window of the stream
 * bounds how many do. Acknowledged is what is written here and acknowledged from there on.
 */
class ChunkWrite {
  readonly #world: ReceiveWorld;
  readonly #call: WriteCall;
  readonly #next: NextHop | null;
  /** Frames that are being written or sent on. */
  readonly #inFlight = new Set<Promise<void>>();
  /** The end of what was received in this stream. */
  #endBytes: number;
  #ackedBytes: number;
  #lease: WriteLease | null = null;
  /** The first failure of a frame. */
  #reject: (error: Error) => void = () => {};
  readonly #failed: Promise<never>;

  constructor(world: ReceiveWorld, call: WriteCall) {
    this.#world = world;
    this.#call = call;
    this.#endBytes = call.open.resumeAtBytes;
    this.#ackedBytes = call.open.resumeAtBytes;
    this.#failed = new Promise<never>((_, reject) => {
      this.#reject = reject;
    });
    this.#failed.catch(() => {}); // Told to whoever waits for a message.
    const isTail = call.open.position + 1 >= call.open.intent.servers.length;
    this.#next = isTail ? null : new NextHop(world, nextOpen(call.open), () => this.#ack());
    this.#next?.broken.catch((error: Error) => this.#reject(error));
  }

  async run(): Promise<void> {
    try {
      const lease = await this.#begin();
      await this.#call.stream.send({ kind: "opened" });
      for (;;) {
        const message = await this.#receive();
        if (message === null) return; // The writer has given up; what is here is kept.
        if (message.head.kind === "seal") {
          message.release();
          await this.#seal(lease, message.head);
          return;
        }
        this.#take(lease, message.head, message);
      }
    } finally {
      await this.#next?.close();
      await Promise.all(this.#inFlight);
      this.#lease?.release();
    }
  }

  /** Takes the write, fills it up to where it resumes, and readies the servers after this one. */
  async #begin(): Promise<WriteLease> {
    const { open, context } = this.#call;
    const { writeId, intent, sizeHintBytes, resumeAtBytes } = open;
    const options = { timeoutMs: context.remainingMs(), signal: context.signal };
    const nextReady = this.#next?.open(this.#world.pool, nextOpen(open), options);
    nextReady?.catch(() => {}); // Awaited below, unless this server fails first.
    const lease = await this.#world.store.begin({
      writeId,
      intentIndex: intent.issuedIndex,
      lifetimeMs: intent.lifetimeMs,
      sizeHintBytes,
      purpose: "write",
      resumeAtBytes,
    });
    this.#lease = lease;
    if (lease.receivedBytes < resumeAtBytes) await this.#fill(lease);
    await nextReady;
    return lease;
  }

  async #fill(lease: WriteLease): Promise<void> {
    const { open, context } = this.#call;
    const { writeId, fillFrom, resumeAtBytes } = open;
    if (fillFrom === null) {
      throw new AshlarError(
        "CHUNK_NOT_FOUND",
        `Cannot resume the write ${writeId} at byte ${resumeAtBytes}: this server has ${lease.receivedBytes}`,
      );
    }
    const source = { writeId, address: fillFrom, lengthBytes: resumeAtBytes };
    const broken = new AbortController();
    this.#failed.catch((error: Error) => broken.abort(error));
    const signal = AbortSignal.any([context.signal, broken.signal]);
    try {
      await fillPartial(this.#world, lease, source, { timeoutMs: context.remainingMs(), signal });
    } catch (error) {
      // The rest of the chain broke meanwhile, which a slow source must not hold up.
      throw broken.signal.aborted ? broken.signal.reason : error;
    }
  }

  /** The next message, unless a frame or the rest of the chain fails first. */
  async #receive(): Promise<Received<WriteUp> | null> {
    const receiving = this.#call.stream.receive();
    try {
      return await Promise.race([receiving, this.#failed]);
    } catch (error) {
      // A message that still comes would keep its slab for ever.
      receiving.then((message) => message?.release()).catch(() => {});
      throw error;
    }
  }

  /** Checks a frame and sets off its writing and sending on. */
  #take(lease: WriteLease, head: BlocksHead, message: Received<WriteUp>): void {
    try {
      this.#check(head, message.body);
    } catch (error) {
      message.release();
      throw error;
    }
    this.#endBytes = head.offsetBytes + message.body.length;
    this.#world.bytesReceived.add(message.body.length);
    const passing = this.#pass(lease, head, message).catch((error: Error) => this.#reject(error));
    this.#inFlight.add(passing);
    passing.finally(() => this.#inFlight.delete(passing)).catch(() => {});
  }

  #check(head: BlocksHead, body: Uint8Array): void {
    const isWhole = this.#endBytes % BLOCK_BYTES === 0;
    const isInPlace = head.offsetBytes === this.#endBytes && isWhole;
    const hasHashes = head.hashes.length === blockCount(body.length) * DIGEST_BYTES;
    if (!isInPlace || !hasHashes || body.length === 0 || body.length > FRAME_BYTES_MAX) {
      throw new AshlarError(
        "PROTOCOL_ERROR",
        `Cannot take ${body.length} bytes at ${head.offsetBytes}: expected whole blocks from ${this.#endBytes} on`,
      );
    }
    const rotten = firstRottenBlock(this.#world.hasher, body, head.hashes);
    if (rotten < 0) return;
    throw new AshlarError(
      "CHUNK_CORRUPT",
      `Cannot take block ${head.offsetBytes / BLOCK_BYTES + rotten}: it does not match its hash`,
    );
  }

  async #pass(lease: WriteLease, head: BlocksHead, message: Received<WriteUp>): Promise<void> {
    const written = lease.write(head.offsetBytes, head.hashes, message.body);
    // Told at once: the sending on may wait for a slow server.
    written.catch((error: Error) => this.#reject(error));
    try {
      // Both use the slab: neither may be left running when it is released.
      if (this.#next !== null) await settled(this.#next.forward(head, message.body), written);
      await written;
    } finally {
      message.release();
    }
    this.#ack();
  }

  #ack(): void {
    const here = Math.min(this.#lease?.receivedBytes ?? 0, this.#endBytes);
    const bytes = Math.min(here, this.#next?.ackedBytes ?? here);
    if (bytes <= this.#ackedBytes) return;
    this.#ackedBytes = bytes;
    // If it cannot be sent the stream is over, which `receive` tells.
    this.#call.stream.send({ kind: "ack", bytes }).catch(() => {});
  }

  async #seal(lease: WriteLease, head: SealHead): Promise<void> {
    const { chunkId, lengthBytes } = head;
    const after = this.#next?.seal(head) ?? [];
    const here = lease.seal(chunkId, lengthBytes);
    const [, receiptsAfter] = await Promise.race([Promise.all([here, after]), this.#failed]);
    const receipts = [this.#receipt(chunkId, lengthBytes), ...receiptsAfter];
    await this.#call.stream.send({ kind: "sealed", receipts });
  }

  #receipt(chunkId: SealHead["chunkId"], lengthBytes: number): Receipt {
    const serverId: ServerId = this.#world.store.serverId;
    const intentIndex = this.#call.open.intent.issuedIndex;
    const sealed = { serverId, chunkId, lengthBytes, intentIndex };
    return { serverId, receipt: signReceipt(this.#world.hasher, this.#call.chunkKey, sealed) };
  }
}

function nextOpen(open: WriteOpen): WriteOpen {
  return { ...open, position: open.position + 1 };
}

/** Resolves when both are settled; throws what `first` threw. */
async function settled(first: Promise<void>, second: Promise<void>): Promise<void> {
  try {
    await first;
  } finally {
    await second.catch(() => {}); // The caller awaits it too.
  }
}
