import { AssertionError } from "../../shared/base/assert.ts";
import { AshlarError, isAshlarError } from "../../shared/base/errors.ts";
import { BLOCK_BYTES, DIGEST_BYTES, type ServerId } from "../../shared/base/ids.ts";
import type { Clock } from "../../shared/ports/clock.ts";
import type { Hasher } from "../../shared/ports/hasher.ts";
import type { Log } from "../../shared/ports/log.ts";
import type { Counter } from "../../shared/ports/metrics.ts";
import {
  FRAME_BYTES_MAX,
  type WriteDown,
  type WriteOpen,
  type WriteUp,
} from "../../shared/protocol/chunk-api.ts";
import { blockCount } from "../../shared/protocol/chunk-id.ts";
import { type Receipt, signReceipt } from "../../shared/protocol/intent.ts";
import type { ConnectionPool } from "../../shared/wire/connection-pool.ts";
import type { CallContext, Received, Stream } from "../../shared/wire/rpc.ts";
import type { ChunkStore } from "../store/chunk-store.ts";
import { firstCorruptBlock } from "../store/verify-blocks.ts";
import type { WriteLease } from "../store/writes.ts";
import { admitWrite } from "./admit-write.ts";
import { checkPlace, corruptBytes, logBreak } from "./chain-place.ts";
import { fillPartial } from "./fill-partial.ts";
import type { HeldKeys } from "./held-keys.ts";
import { NextHop, toChainBrokenError } from "./next-hop.ts";
import type { AdmittedWrite, WriteAdmission } from "./write-admission.ts";

/** Dependencies of `receiveChunk`. */
export interface ReceiveDeps {
  readonly store: ChunkStore;
  readonly hasher: Hasher;
  readonly clock: Clock;
  readonly log: Log;
  /** Connections to other chunkservers, for bulk data. */
  readonly pool: ConnectionPool;
  readonly admission: WriteAdmission;
  /** The keys of intents and receipts. */
  readonly keys: HeldKeys;
  readonly bytesReceived: Counter;
}

type BlocksHead = Extract<WriteUp, { kind: "blocks" }>;
type SealHead = Extract<WriteUp, { kind: "seal" }>;
type UpStream = Stream<WriteDown, WriteUp>;

/**
 * Serves `chunk.write`: verifies blocks, forwards them, writes them, acknowledges them and seals
 * the chunk.
 *
 * A failure is reported to the writer as `failed` with the id of the failed server. The received
 * bytes are kept under the write id for the lifetime of the intent, so that the writer can resume.
 */
export async function receiveChunk(
  deps: ReceiveDeps,
  request: Received<WriteOpen>,
  stream: UpStream,
  context: CallContext,
): Promise<void> {
  request.release();
  const { serverId } = deps.store;
  try {
    const chunkKey = await checkOpen(deps, request.head, context.signal);
    const admitted = await admitWrite(deps, request.head, stream, context);
    try {
      const call = { open: request.head, chunkKey, admitted, stream, context };
      await new ChunkWrite(deps, call).run();
    } finally {
      admitted.release();
    }
  } catch (error) {
    const broken = toChainBrokenError(serverId, error);
    if (broken.cause instanceof AssertionError) throw broken.cause; // A bug stops the process.
    if (context.signal.aborted) return; // The writer has closed the stream.
    const { writeId, position } = request.head;
    logBreak(deps, broken, { writeId, position });
    await stream.send({ kind: "failed", serverId: broken.serverId, error: broken.error });
  }
}

/**
 * Checks the request of a write. Resolves with the key of its intent and receipts.
 *
 * @throws {AshlarError} the errors of `checkPlace`; INVALID_ARGUMENT
 */
async function checkOpen(
  deps: ReceiveDeps,
  open: WriteOpen,
  signal: AbortSignal,
): Promise<Uint8Array> {
  const chunkKey = await checkPlace(deps, open, signal);
  if (open.resumeAtBytes % BLOCK_BYTES === 0) return chunkKey;
  throw new AshlarError(
    "INVALID_ARGUMENT",
    `Cannot resume a write at byte ${open.resumeAtBytes}: expected a multiple of ${BLOCK_BYTES}`,
  );
}

interface WriteCall {
  readonly open: WriteOpen;
  readonly chunkKey: Uint8Array;
  readonly admitted: AdmittedWrite;
  readonly stream: UpStream;
  readonly context: CallContext;
}

/**
 * One write on one server, from its opening to its seal.
 *
 * Each frame keeps its receive slab until it is written here and forwarded. The window of the
 * stream bounds the number of such frames. Bytes are acknowledged when this server has written them
 * and the rest of the chain has acknowledged them.
 */
class ChunkWrite {
  readonly #deps: ReceiveDeps;
  readonly #call: WriteCall;
  readonly #next: NextHop | null;
  /** Frames that are being written or forwarded. */
  readonly #inFlight = new Set<Promise<void>>();
  /** End offset of the bytes received in this stream. */
  #endBytes: number;
  #ackedBytes: number;
  #isSealing = false;
  #lease: WriteLease | null = null;
  /** Reports the first failure of a frame or of the rest of the chain. */
  #reject: (error: Error) => void = () => {};
  readonly #failed: Promise<never>;

  constructor(deps: ReceiveDeps, call: WriteCall) {
    this.#deps = deps;
    this.#call = call;
    this.#endBytes = call.open.resumeAtBytes;
    this.#ackedBytes = call.open.resumeAtBytes;
    this.#failed = new Promise<never>((_, reject) => {
      this.#reject = reject;
    });
    this.#failed.catch(() => {}); // `#receive` and `#seal` report it to the writer.
    const isTail = call.open.position + 1 >= call.open.intent.servers.length;
    const events = {
      onAck: () => this.#ack(),
      // If the send fails, the stream has ended, and `#receive` reports it.
      onWaiting: (waiting: WriteDown) => call.stream.send(waiting).catch(() => {}),
    };
    this.#next = isTail ? null : new NextHop(deps, nextOpen(call.open), events);
    this.#next?.broken.catch((error: Error) => this.#reject(error));
    call.admitted.revoked.catch((error: Error) => this.#reject(error));
  }

  async run(): Promise<void> {
    try {
      const lease = await this.#begin();
      await this.#call.stream.send({ kind: "opened" });
      this.#call.admitted.receivedWhileWaiting = () => this.#receivedWhileWaiting();
      for (;;) {
        const message = await this.#receive();
        if (message === null) return; // The writer closed the stream. Received bytes are kept.
        if (message.head.kind === "seal") {
          message.release();
          await this.#seal(lease, message.head);
          return;
        }
        this.#acceptFrame(lease, message.head, message);
      }
    } finally {
      await this.#next?.close();
      await Promise.all(this.#inFlight);
      this.#lease?.release();
    }
  }

  /** See `AdmittedWrite.receivedWhileWaiting`. */
  #receivedWhileWaiting(): number | null {
    const isWorking = this.#isSealing || this.#inFlight.size > 0;
    return isWorking || this.#ackedBytes < this.#endBytes ? null : this.#endBytes;
  }

  /** Opens the write here and on the next servers, and fills it up to where it resumes. */
  async #begin(): Promise<WriteLease> {
    const { open, context } = this.#call;
    const { writeId, intent, sizeHintBytes, resumeAtBytes } = open;
    const options = { timeoutMs: context.remainingMs(), signal: context.signal };
    const nextReady = this.#next?.open(this.#deps.pool, nextOpen(open), options);
    nextReady?.catch(() => {}); // Awaited below, unless this server fails first.
    const lease = await this.#deps.store.begin({
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
      await fillPartial(this.#deps, lease, source, { timeoutMs: context.remainingMs(), signal });
    } catch (error) {
      // If the rest of the chain broke during the fill, the writer needs that error.
      if (broken.signal.aborted) throw broken.signal.reason;
      const sender = open.intent.servers.find(({ address }) => address === fillFrom);
      if (sender === undefined || !isAshlarError(error, "CHUNK_CORRUPT")) throw error;
      throw toChainBrokenError(sender.serverId, error);
    }
  }

  /** Returns the next message. Rejects as soon as a frame or the rest of the chain fails. */
  async #receive(): Promise<Received<WriteUp> | null> {
    const receiving = this.#call.stream.receive();
    try {
      return await Promise.race([receiving, this.#failed]);
    } catch (error) {
      // A message that arrives after the failure would keep its slab forever.
      receiving.then((message) => message?.release()).catch(() => {});
      throw error;
    }
  }

  /** Checks a frame and starts to write and forward it. */
  #acceptFrame(lease: WriteLease, head: BlocksHead, message: Received<WriteUp>): void {
    try {
      this.#checkFrame(head, message.body);
    } catch (error) {
      message.release();
      throw error;
    }
    this.#endBytes = head.offsetBytes + message.body.length;
    this.#deps.bytesReceived.add(message.body.length);
    const done = this.#storeFrame(lease, head, message).catch((error: Error) =>
      this.#reject(error),
    );
    this.#inFlight.add(done);
    done.finally(() => this.#inFlight.delete(done)).catch(() => {});
  }

  #checkFrame(head: BlocksHead, body: Uint8Array): void {
    const isWhole = this.#endBytes % BLOCK_BYTES === 0;
    const isInPlace = head.offsetBytes === this.#endBytes && isWhole;
    const hasHashes = head.hashes.length === blockCount(body.length) * DIGEST_BYTES;
    if (!isInPlace || !hasHashes || body.length === 0 || body.length > FRAME_BYTES_MAX) {
      throw new AshlarError(
        "PROTOCOL_ERROR",
        `Cannot accept ${body.length} bytes at ${head.offsetBytes}: expected whole blocks from byte ${this.#endBytes}`,
      );
    }
    const corrupt = firstCorruptBlock(this.#deps.hasher, body, head.hashes);
    if (corrupt < 0) return;
    const block = head.offsetBytes / BLOCK_BYTES + corrupt;
    throw corruptBytes(this.#call.open, `block ${block}`);
  }

  /** Writes and forwards a frame, then releases its slab. */
  async #storeFrame(
    lease: WriteLease,
    head: BlocksHead,
    message: Received<WriteUp>,
  ): Promise<void> {
    const written = lease.write(head.offsetBytes, head.hashes, message.body);
    // Reported without waiting for `forward`, which may wait for a slow server.
    written.catch((error: Error) => this.#reject(error));
    try {
      // Both use the slab. It is released after both have ended.
      if (this.#next !== null) await bothSettled(this.#next.forward(head, message.body), written);
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
    // If the send fails, the stream has ended, and `#receive` reports it.
    this.#call.stream.send({ kind: "ack", bytes }).catch(() => {});
  }

  async #seal(lease: WriteLease, head: SealHead): Promise<void> {
    const { chunkId, lengthBytes } = head;
    this.#isSealing = true;
    const after = this.#next?.seal(head) ?? [];
    const here = lease.seal(chunkId, lengthBytes);
    const [, receiptsAfter] = await Promise.race([Promise.all([here, after]), this.#failed]);
    const receipts = [this.#receipt(chunkId, lengthBytes), ...receiptsAfter];
    await this.#call.stream.send({ kind: "sealed", receipts });
  }

  #receipt(chunkId: SealHead["chunkId"], lengthBytes: number): Receipt {
    const serverId: ServerId = this.#deps.store.serverId;
    const intentIndex = this.#call.open.intent.issuedIndex;
    const sealed = { serverId, chunkId, lengthBytes, intentIndex };
    return { serverId, receipt: signReceipt(this.#deps.hasher, this.#call.chunkKey, sealed) };
  }
}

/** Returns the request for the next server of the chain. */
function nextOpen(open: WriteOpen): WriteOpen {
  return { ...open, position: open.position + 1 };
}

/** Resolves when both promises are settled. Rejects if `first` rejects. */
async function bothSettled(first: Promise<void>, second: Promise<void>): Promise<void> {
  try {
    await first;
  } finally {
    await second.catch(() => {}); // The caller awaits `second` too.
  }
}
