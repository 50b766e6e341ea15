import { present } from "../../shared/base/assert.ts";
import { equalBytes } from "../../shared/base/bytes.ts";
import type { LogIndex } from "../../shared/base/ids.ts";
import { type ChunkKeys, firstChunkKeys } from "../../shared/protocol/chunk-keys.ts";
import { JOIN_TOKEN_VALID_MS_MAX, JOIN_TOKENS_MAX } from "../../shared/protocol/enrolment-api.ts";
import type { Change } from "./change.ts";
import type { EnrolmentChange } from "./command.ts";
import { type Key, META_KEY, prefixEnd, TABLE_BYTE } from "./keys.ts";
import type { EnrolmentRecord } from "./records.ts";
import { refusal } from "./refusal.ts";
import { ENROLMENT, SERVERS } from "./tables.ts";

const SECRET_BYTES = 32;
/** Most versions of the chunk key that are accepted at the same time. */
export const CHUNK_KEYS_MAX = 4;

/**
 * Begins the enrolment of chunkservers, with the chunk key of the cluster as version 1. Existing
 * servers received this key without a proof. They enrol without a token until an operator closes the
 * enrolment. A cluster without servers begins with a closed enrolment.
 *
 * @throws {Refusal} INVALID_ARGUMENT
 */
export function beginEnrolment(change: Change, enrolmentKey: Uint8Array = new Uint8Array()): void {
  const facts = present(change.clusterFacts, "only bootstrap is applied to an empty state");
  const range = { start: TABLE_BYTE.server as Key, end: prefixEnd(TABLE_BYTE.server) };
  const servers = change.rows(SERVERS, range, 1);
  put(change, {
    isOpen: servers.length > 0,
    enrolmentKey: secretOf(enrolmentKey),
    restoreId: change.hasher.hash(facts.chunkKey),
    keys: firstChunkKeys(facts.chunkKey),
    tokens: [],
  });
}

/** Applies one change of the enrolment. @throws {Refusal} INVALID_ARGUMENT, PRECONDITION_FAILED */
export function applyEnrolmentChange(change: Change, requested: EnrolmentChange): void {
  const before = present(change.enrolment, "every member supports the enrolment");
  const tokens = before.tokens.filter(({ expiresMs }) => expiresMs > change.nowMs);
  switch (requested.kind) {
    case "expire-tokens":
      put(change, { ...before, tokens });
      return;
    case "open":
      // So that it can always be closed, which makes a new version.
      if (!before.isOpen && before.keys.length >= CHUNK_KEYS_MAX) {
        throw refusal("keys-many", { max: CHUNK_KEYS_MAX });
      }
      put(change, { ...before, tokens, isOpen: true });
      return;
    case "close":
      if (!before.isOpen && requested.rotatesFrom === undefined) return;
      checkVersion(before.keys, requested.rotatesFrom);
      put(change, {
        ...before,
        ...{ tokens, isOpen: false, keys: withNewKey(change, before.keys, requested.chunkKey) },
      });
      return;
    default: {
      const others = tokens.filter(({ hash }) => !equalBytes(hash, requested.tokenHash));
      const token = tokenOf(change, requested, others.length);
      put(change, { ...before, tokens: [...others, token] });
    }
  }
}

/** Drops each version of the chunk key whose intents are all older than the intent floor. */
export function dropOldKeys(change: Change, intentFloor: LogIndex): void {
  const before = change.enrolment;
  if (before === undefined) return;
  const keys = before.keys.filter((_, position) => {
    const next = before.keys[position + 1];
    return next === undefined || next.fromIndex > intentFloor;
  });
  if (keys.length < before.keys.length) put(change, { ...before, keys });
}

/** Two operators who have seen the same version rotate it once. @throws {Refusal} */
function checkVersion(keys: ChunkKeys, expected: number | undefined): void {
  const { version } = present(keys.at(-1), "a chunk key has a version");
  if (expected === undefined || expected === version) return;
  throw refusal("key-version", { expected, actual: version });
}

function withNewKey(change: Change, keys: ChunkKeys, chunkKey: Uint8Array): ChunkKeys {
  if (keys.length >= CHUNK_KEYS_MAX) throw refusal("keys-many", { max: CHUNK_KEYS_MAX });
  const last = present(keys.at(-1), "a chunk key has a version");
  const { index: fromIndex } = change;
  return [...keys, { version: last.version + 1, fromIndex, key: secretOf(chunkKey) }];
}

function tokenOf(
  change: Change,
  { tokenHash, validMs }: Extract<EnrolmentChange, { kind: "add-token" }>,
  otherCount: number,
): EnrolmentRecord["tokens"][number] {
  if (!(validMs >= 1 && validMs <= JOIN_TOKEN_VALID_MS_MAX)) {
    throw refusal("token-validity", { validMs, max: JOIN_TOKEN_VALID_MS_MAX });
  }
  if (otherCount >= JOIN_TOKENS_MAX) throw refusal("tokens-many", { max: JOIN_TOKENS_MAX });
  return { hash: secretOf(tokenHash), expiresMs: change.nowMs + validMs };
}

function put(change: Change, record: EnrolmentRecord): void {
  change.putUnversioned(ENROLMENT, META_KEY.enrolment, record);
}

/** Copies bytes of a command, which are a view of the log's memory. @throws {Refusal} */
function secretOf(bytes: Uint8Array): Uint8Array {
  if (bytes.length === SECRET_BYTES) return new Uint8Array(bytes);
  throw refusal("secret-length", { bytes: bytes.length, expected: SECRET_BYTES });
}
