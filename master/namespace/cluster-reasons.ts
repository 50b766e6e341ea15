import { reason } from "./refusal-reason.ts";

/** The reasons of refusals about the cluster, its sessions and its history: see refusal-words.ts. */
export const CLUSTER_REASONS = {
  "cluster-missing": reason(
    "UNAVAILABLE",
    ({ command }: { readonly command: string }) =>
      `Cannot apply ${command}: expected a bootstrapped cluster: current state is empty`,
  ),
  "cluster-exists": reason(
    "ALREADY_EXISTS",
    ({ clusterId }: { readonly clusterId: string }) =>
      `Cannot make a cluster: expected an empty state: current cluster is ${clusterId}`,
  ),
  "cluster-facts": reason(
    "INVALID_ARGUMENT",
    (facts: {
      readonly keyBytes: number;
      readonly keyBytesExpected: number;
      readonly inlineBytesMax: number;
      readonly max: number;
    }) =>
      `Cannot make a cluster: expected a key of ${facts.keyBytesExpected} bytes and inlineBytesMax of at most ${facts.max}: current values are ${facts.keyBytes} and ${facts.inlineBytesMax}`,
  ),
  "class-invalid": reason(
    "INVALID_ARGUMENT",
    (facts: { readonly name: string; readonly copies: number; readonly copiesMin: number }) =>
      `Cannot define the storage class "${facts.name}": expected a name and copiesMin in [1, ${facts.copies}]: current copiesMin is ${facts.copiesMin}`,
  ),
  "retention-invalid": reason(
    "INVALID_ARGUMENT",
    ({ retentionMs, max }: { readonly retentionMs: number; readonly max: number }) =>
      `Cannot set the retention of the history: expected at most ${max} ms: current value is ${retentionMs}`,
  ),
  "clock-steps": reason(
    "TOO_LARGE",
    ({ max }: { readonly max: number }) =>
      `Cannot step the clock: expected at most ${max} steps within the retention of the history`,
  ),
  "server-removed": reason(
    "WRONG_IDENTITY",
    ({ serverId, index }: { readonly serverId: string; readonly index: number }) =>
      `Cannot register chunkserver ${serverId}: expected a server that was not removed: it was removed at index ${index}`,
  ),
  "secret-length": reason(
    "INVALID_ARGUMENT",
    ({ bytes, expected }: { readonly bytes: number; readonly expected: number }) =>
      `Cannot change the enrolment: expected a secret of ${expected} bytes: current length is ${bytes}`,
  ),
  "token-validity": reason(
    "INVALID_ARGUMENT",
    ({ validMs, max }: { readonly validMs: number; readonly max: number }) =>
      `Cannot make a join token: expected a validity of 1 ms to ${max} ms: current value is ${validMs}`,
  ),
  "tokens-many": reason(
    "PRECONDITION_FAILED",
    ({ max }: { readonly max: number }) =>
      `Cannot make a join token: expected fewer than ${max} valid tokens: current value is ${max}: revoke one (ashlar server token revoke), or wait until one has expired`,
  ),
  "keys-many": reason(
    "PRECONDITION_FAILED",
    ({ max }: { readonly max: number }) =>
      `Cannot change the enrolment: expected fewer than ${max} versions of the chunk key in use: wait until the intents of the oldest have expired`,
  ),
  "key-version": reason(
    "PRECONDITION_FAILED",
    ({ expected, actual }: { readonly expected: number; readonly actual: number }) =>
      `Cannot rotate the chunk key: expected version ${expected}: current version is ${actual}: ${expected < actual ? "it was rotated in the meantime" : `version ${expected} does not exist yet`}`,
  ),
  "intent-floor": reason(
    "INVALID_ARGUMENT",
    ({ floor, index }: { readonly floor: number; readonly index: number }) =>
      `Cannot raise the intent floor to ${floor}: expected an index below ${index}, the index of this entry`,
  ),
  "session-unknown": reason(
    "SESSION_EXPIRED",
    ({ sessionId }: { readonly sessionId: number }) =>
      `Cannot use session ${sessionId}: expected an open session: current state is closed or unknown`,
  ),
  "sequence-invalid": reason(
    "INVALID_ARGUMENT",
    (facts: { readonly sequence: number; readonly firstUnacknowledged: number }) =>
      `Cannot apply sequence ${facts.sequence}: expected at least 1 and at least the first unacknowledged sequence, which is ${facts.firstUnacknowledged}`,
  ),
  "outcome-dropped": reason(
    "SESSION_EXPIRED",
    (facts: { readonly sessionId: number; readonly sequence: number; readonly floor: number }) =>
      `Cannot apply sequence ${facts.sequence} of session ${facts.sessionId}: expected ${facts.floor} or higher: older outcomes are not kept`,
  ),
  "index-reclaimed": reason(
    "INDEX_EXPIRED",
    ({ index, oldestIndex }: { readonly index: number; readonly oldestIndex: number }) =>
      `Cannot read as of index ${index}: expected index ${oldestIndex} or later: older states are reclaimed`,
  ),
  "time-reclaimed": reason(
    "INDEX_EXPIRED",
    ({ timeMs, oldestIndex }: { readonly timeMs: number; readonly oldestIndex: number }) =>
      `Cannot read as of the index at ${timeMs} ms since 1970: expected index ${oldestIndex} or later: older states are reclaimed`,
  ),
  "index-unapplied": reason(
    "INVALID_ARGUMENT",
    ({ index, appliedIndex }: { readonly index: number; readonly appliedIndex: number }) =>
      `Cannot read as of index ${index}: expected at most ${appliedIndex}, the last applied index`,
  ),
  "feed-reclaimed": reason(
    "INDEX_EXPIRED",
    ({ index, oldestIndex }: { readonly index: number; readonly oldestIndex: number }) =>
      `Cannot watch from index ${index}: expected ${oldestIndex} or later: older events are not kept`,
  ),
};
