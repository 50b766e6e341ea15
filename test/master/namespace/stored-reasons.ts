import type { Reason } from "../../../master/namespace/refusal-words.ts";

/** Reasons whose outcome no session keeps: the attempt did not run, or the command has no session. */
export const NOT_KEPT = [
  "clock-steps",
  "cluster-exists",
  "cluster-facts",
  "cluster-missing",
  "feed-reclaimed",
  "intent-floor",
  "keys-many",
  "outcome-dropped",
  "path-not-text",
  "read-rows",
  "secret-length",
  "sequence-invalid",
  "server-removed",
  "session-unknown",
  "time-reclaimed",
  "token-validity",
  "tokens-many",
] as const satisfies readonly Reason[];

/** The reasons in stored outcomes. A new reason is one of them, or the compiler refuses `STORED_REASONS`. */
type StoredReason = Exclude<Reason, (typeof NOT_KEPT)[number]>;

/**
 * The code of each reason in stored outcomes, and the names of its facts. Never changed: other facts need a new
 * reason (docs/decisions/0016).
 */
export const STORED_REASONS: Readonly<Record<StoredReason, string>> = {
  "chunk-changed": "PRECONDITION_FAILED actual expected path position",
  "chunk-count": "INVALID_ARGUMENT actual chunkSizeBytes expected sizeBytes",
  "chunk-length": "INVALID_ARGUMENT actual chunkId expected",
  "chunk-size": "INVALID_ARGUMENT chunkSizeBytes max min",
  "chunks-unknown": "CHUNKS_MISSING count",
  "class-invalid": "INVALID_ARGUMENT copies copiesMin name",
  "class-unknown": "INVALID_ARGUMENT name",
  "copies-few": "TOO_FEW_CHUNKSERVERS chunkId copies min",
  depth: "NAME_TOO_LONG depth max",
  "entry-units": "TOO_LARGE max",
  "file-size": "TOO_LARGE chunkSizeBytes max sizeBytes",
  "index-reclaimed": "INDEX_EXPIRED index oldestIndex",
  "index-unapplied": "INVALID_ARGUMENT appliedIndex index",
  "inline-size": "TOO_LARGE bytes max",
  "inode-unknown": "NOT_FOUND inode",
  "intent-old": "INTENT_EXPIRED chunkId intentIndex oldestIndex",
  "name-invalid": "INVALID_ARGUMENT bytes shown",
  "name-taken": "ALREADY_EXISTS kind path",
  "name-too-long": "NAME_TOO_LONG bytes shown",
  "name-unknown": "NOT_FOUND path",
  "not-directory": "NOT_A_DIRECTORY path",
  "not-empty": "NOT_EMPTY entryCount path",
  "not-file": "IS_A_DIRECTORY path",
  "parent-not-directory": "NOT_A_DIRECTORY path",
  "path-not-absolute": "INVALID_ARGUMENT bytes shown",
  "path-too-long": "NAME_TOO_LONG bytes shown",
  "position-invalid": "INVALID_ARGUMENT chunkCount position",
  "position-length": "INVALID_ARGUMENT actual expected position sizeBytes",
  "precondition-failed": "PRECONDITION_FAILED expected found kind path version",
  "rename-inside": "INVALID_ARGUMENT from to",
  "rename-not-empty": "NOT_EMPTY entryCount from to",
  "rename-onto-directory": "IS_A_DIRECTORY from to",
  "rename-onto-file": "NOT_A_DIRECTORY from to",
  "restore-size": "TOO_LARGE chunkCount max",
  "retention-invalid": "INVALID_ARGUMENT max retentionMs",
  "root-fixed": "INVALID_ARGUMENT action",
  "session-chunks": "TOO_LARGE count max",
  "session-uploads": "TOO_LARGE count max",
  "size-changed": "PRECONDITION_FAILED actual expected path",
  "target-empty": "INVALID_ARGUMENT",
  "tree-staged": "ALREADY_EXISTS id",
  "upload-chunk-length": "INVALID_ARGUMENT actual chunkId max",
  "upload-chunks": "TOO_LARGE count max",
  "upload-differs": "PRECONDITION_FAILED chunkId expected id position",
  "upload-missing": "PRECONDITION_FAILED id level",
  "upload-short": "PRECONDITION_FAILED chunkCount id position",
  "upload-sizes": "INVALID_ARGUMENT actual chunkCount chunkSizeBytes id sizeBytes",
};
