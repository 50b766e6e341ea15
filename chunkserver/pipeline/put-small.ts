import { AssertionError, present } from "../../shared/base/assert.ts";
import { AshlarError, isAshlarError } from "../../shared/base/errors.ts";
import { DIGEST_BYTES } from "../../shared/base/ids.ts";
import { listenToAbort } from "../../shared/flow/abort-listeners.ts";
import { sealTimeoutMsOf } from "../../shared/protocol/chain-timeouts.ts";
import {
  putSmall as method,
  type PutSmallRequest,
  type PutSmallResponse,
} from "../../shared/protocol/chunk-api.ts";
import { type ServerLocation, signReceipt } from "../../shared/protocol/intent.ts";
import type { CallContext, Received } from "../../shared/wire/rpc.ts";
import { VerifiedGroup } from "../store/put-many.ts";
import { checkPlace, corruptBytes, logBreak } from "./chain-place.ts";
import { ChainBrokenError, CONNECT_TIMEOUT_MS, toChainBrokenError } from "./next-hop.ts";
import type { ReceiveDeps } from "./receive-chunk.ts";

/** Longest wait for memory. */
const ADMISSION_WAIT_MS_MAX = 3_000;
/** Part of the remaining time that the next server gets at most, so that this server can still answer. */
const TIME_SHARE = 0.9;

/** The receipts of one chunk, of this server and those after it: 32 bytes each. */
type Receipts = Uint8Array;

/**
 * Serves `chunk.put-small`: verifies the group, then stores it while the next server does the same with
 * the same bytes. Answers when it is durable on this server and all after it.
 *
 * Memory: the body has memory of `EARLY_BODY_BYTES_MAX`, or the request was refused before it was read. The
 * group waits for `WriteAdmission` in the class of its number of later servers, as a stream of `chunk.write`
 * does. So it waits in no circle: for the first memory nothing waits, and the second has classes.
 */
export async function putSmall(
  deps: ReceiveDeps,
  request: Received<PutSmallRequest>,
  context: CallContext,
): Promise<PutSmallResponse> {
  const { serverId } = deps.store;
  const { intent, position, chunks } = request.head;
  try {
    const chunkKey = await checkPlace(deps, request.head, context.signal);
    const admitted = await deps.admission.admit({
      source: context.peerAddress,
      hopsAfter: intent.servers.length - 1 - position,
      sizeHintBytes: Math.max(1, request.body.length),
      signal: context.signal,
      waitMsMax: Math.min(ADMISSION_WAIT_MS_MAX, context.remainingMs() / 2),
    });
    try {
      const receipts = await new GroupPut(deps, { request, context, chunkKey }).run();
      return { kind: "stored", receipts: [...receipts] };
    } finally {
      admitted.release();
    }
  } catch (error) {
    const broken = toChainBrokenError(serverId, error);
    if (broken.cause instanceof AssertionError) throw broken.cause; // A bug stops the process.
    if (context.isAborted) throw broken; // The caller has gone.
    logBreak(deps, broken, { chunkCount: chunks.length, position });
    return { kind: "failed", serverId: broken.serverId, error: broken.error };
  } finally {
    request.release();
  }
}

interface GroupCall {
  readonly request: Received<PutSmallRequest>;
  readonly context: CallContext;
  readonly chunkKey: Uint8Array;
}

/** One group on one server. */
class GroupPut {
  readonly #deps: ReceiveDeps;
  readonly #call: GroupCall;
  /** Ends the call of the next server. */
  readonly #ending = new AbortController();

  constructor(deps: ReceiveDeps, call: GroupCall) {
    this.#deps = deps;
    this.#call = call;
  }

  /** Resolves with the receipts of each chunk. On an error, nothing uses the body when it rejects. */
  async run(): Promise<readonly Receipts[]> {
    const { request, context } = this.#call;
    const { intent, position } = request.head;
    const group = this.#verified();
    this.#deps.bytesReceived.add(request.body.length);
    const next = intent.servers[position + 1];
    const here = this.#store(group);
    const unlisten = listenToAbort(context.signal, () => this.#ending.abort());
    try {
      if (next === undefined) {
        await here;
        return this.#receipts(null);
      }
      const after = this.#forward(next);
      // The rest of the chain is not waited for if this server has failed.
      here.catch(() => this.#ending.abort());
      const [stored, forwarded] = await Promise.allSettled([here, after]);
      if (stored.status === "rejected") throw stored.reason;
      if (forwarded.status === "rejected") throw forwarded.reason;
      return this.#receipts(forwarded.value);
    } finally {
      unlisten();
    }
  }

  /** @throws {AshlarError | ChainBrokenError} CHUNK_CORRUPT, INVALID_ARGUMENT */
  #verified(): VerifiedGroup {
    const { head, body } = this.#call.request;
    try {
      return VerifiedGroup.verify(this.#deps.hasher, head.chunks, body);
    } catch (error) {
      if (!isAshlarError(error, "CHUNK_CORRUPT")) throw error;
      throw corruptBytes(head, "a group of chunks");
    }
  }

  async #store(group: VerifiedGroup): Promise<void> {
    const { issuedIndex: intentIndex, lifetimeMs } = this.#call.request.head.intent;
    await this.#deps.store.putMany(group, { intentIndex, lifetimeMs });
  }

  /** Resolves with the receipts of the servers after this one. @throws {ChainBrokenError} */
  async #forward(next: ServerLocation): Promise<readonly Receipts[]> {
    const { request, context } = this.#call;
    const { intent, position, chunks } = request.head;
    const { signal } = this.#ending;
    const laterCount = intent.servers.length - position - 1;
    try {
      const connectMs = Math.min(CONNECT_TIMEOUT_MS, context.remainingMs());
      const { pool } = this.#deps;
      const connection = await pool.get(next.address, { timeoutMs: connectMs, signal });
      const head = { intent, position: position + 1, chunks };
      const sealTimeoutMs = sealTimeoutMsOf(laterCount);
      const timeoutMs = Math.min(sealTimeoutMs, TIME_SHARE * context.remainingMs());
      const answer = await connection.call(method, head, {
        timeoutMs,
        signal,
        body: request.body,
      });
      answer.release();
      if (answer.head.kind === "failed") {
        throw new ChainBrokenError(answer.head.serverId, answer.head.error);
      }
      const { receipts } = answer.head;
      const isWhole =
        receipts.length === chunks.length &&
        receipts.every((each) => each.length === laterCount * DIGEST_BYTES);
      if (isWhole) return receipts;
      const text = `Cannot accept a stored group: expected receipts of ${laterCount} servers for each of ${chunks.length} chunks`;
      throw new AshlarError("PROTOCOL_ERROR", text);
    } catch (error) {
      throw toChainBrokenError(next.serverId, error);
    }
  }

  /** Returns the receipts of this server, and behind each those of the later servers. */
  #receipts(after: readonly Receipts[] | null): readonly Receipts[] {
    const { request, chunkKey } = this.#call;
    const { intent, chunks } = request.head;
    const { serverId } = this.#deps.store;
    return chunks.map(({ chunkId, lengthBytes }, position) => {
      const sealed = { serverId, chunkId, lengthBytes, intentIndex: intent.issuedIndex };
      const own = signReceipt(this.#deps.hasher, chunkKey, sealed);
      if (after === null) return own;
      const later = present(after[position], "each chunk has receipts of the later servers");
      const receipts = new Uint8Array(own.length + later.length);
      receipts.set(own);
      receipts.set(later, own.length);
      return receipts;
    });
  }
}
