import { AshlarError, isAshlarError } from "../../shared/base/errors.ts";
import type { Hasher } from "../../shared/ports/hasher.ts";
import type { Log } from "../../shared/ports/log.ts";
import { type Intent, isIntentFor } from "../../shared/protocol/intent.ts";
import type { ChunkStore } from "../store/chunk-store.ts";
import type { HeldKeys } from "./held-keys.ts";
import { type ChainBrokenError, toChainBrokenError } from "./next-hop.ts";

/** The place of this server in a write chain, as a request states it. */
export interface ChainPlace {
  readonly intent: Intent;
  /** Position of this server in `intent.servers`. */
  readonly position: number;
}

/** Dependencies of `checkPlace`. */
export interface PlaceDeps {
  readonly store: Pick<ChunkStore, "serverId">;
  readonly hasher: Hasher;
  /** The keys of intents and receipts. */
  readonly keys: HeldKeys;
}

/** Answers of the leader until a rotated key has arrived: the first may be older than the rotation. */
const ANSWERS_MAX = 2;

/**
 * Checks that the leader has permitted this write to this server. Resolves with the key of its intent and
 * receipts.
 *
 * @throws {AshlarError} UNAVAILABLE, PERMISSION_DENIED, INVALID_ARGUMENT
 */
export async function checkPlace(
  deps: PlaceDeps,
  { intent, position }: ChainPlace,
  signal: AbortSignal,
): Promise<Uint8Array> {
  const { serverId } = deps.store;
  if (deps.keys.versions.length === 0) {
    throw new AshlarError(
      "UNAVAILABLE",
      `Cannot accept a write on server ${serverId}: it has not registered with a leader yet`,
    );
  }
  const chunkKey = await keyOfIntent(deps, intent, signal);
  if (chunkKey === null) {
    throw new AshlarError(
      "PERMISSION_DENIED",
      `Cannot accept a write on server ${serverId}: expected an intent of the leader for this server`,
    );
  }
  if (intent.servers[position]?.serverId !== serverId) {
    throw new AshlarError(
      "INVALID_ARGUMENT",
      `Cannot accept a write on server ${serverId}: position ${position} of the intent is another server`,
    );
  }
  return chunkKey;
}

/**
 * Returns the key with which the leader signed the intent. Null if it did not sign it. If the chunk key
 * was rotated just now, the next heartbeat brings it.
 */
async function keyOfIntent(
  { hasher, keys, store }: PlaceDeps,
  intent: Intent,
  signal: AbortSignal,
): Promise<Uint8Array | null> {
  const { serverId } = store;
  if (!intent.servers.some((server) => server.serverId === serverId)) return null;
  for (let answers = 0; ; answers += 1) {
    const key = keys.keyOf(intent.issuedIndex);
    if (key !== null && isIntentFor(hasher, key, intent, serverId)) return key;
    if (answers === ANSWERS_MAX || signal.aborted) return null;
    await keys.nextAnswer(signal);
  }
}

/**
 * Returns the error of bytes that do not match their hash. The chain is broken at the server that
 * sent them, which has verified them before: blamed, this server would be replaced and the sender
 * would corrupt the next write. The first server blames itself, because the writer is no server.
 *
 * @param what the bytes, for the message: "block 7"
 */
export function corruptBytes({ intent, position }: ChainPlace, what: string): Error {
  const sender = intent.servers[position - 1];
  const from = sender === undefined ? "the writer" : `server ${sender.serverId}`;
  const message = `Cannot accept ${what} from ${from}: it does not match its hash`;
  const error = new AshlarError("CHUNK_CORRUPT", message);
  return sender === undefined ? error : toChainBrokenError(sender.serverId, error);
}

/** Logs that a write chain broke. `fields` say which write it was. */
export function logBreak(
  { store, log }: { readonly store: Pick<ChunkStore, "serverId">; readonly log: Log },
  broken: ChainBrokenError,
  fields: Readonly<Record<string, unknown>>,
): void {
  const isSender = broken.serverId === store.serverId && broken.cause === undefined;
  if (isSender && broken.error.code === "CHUNK_CORRUPT") {
    const reason = broken.error.message;
    log.error("This server sent a corrupt block: check its memory and network", { reason });
  }
  log.warn("A write chain broke", {
    ...fields,
    brokenServerId: broken.serverId,
    code: broken.error.code,
    reason: broken.error.message,
    ...(isAshlarError(broken.cause) || broken.cause === undefined ? {} : { error: broken.cause }),
  });
}
