import type { SessionId } from "../../shared/base/ids.ts";
import type { Attempt } from "../../shared/protocol/namespace-api.ts";
import { SESSION_OUTCOMES_MAX } from "../../shared/protocol/transact-api.ts";
import type { Change } from "./change.ts";
import type { CloseSession, ExpireSessions, KeepSession, OpenSession, Outcome } from "./command.ts";
import { ENTRY_UNITS_MAX } from "./cost.ts";
import { outcomeKey, outcomePrefix, prefixEnd, sessionKey } from "./keys.ts";
import type { SessionRecord } from "./records.ts";
import { refusal } from "./refusal.ts";
import { releaseStaged } from "./staging.ts";
import { OUTCOMES, SESSIONS } from "./tables.ts";

/** Units of an expiry after which no further session is closed. One with all outcomes has 10,300. */
const EXPIRY_UNITS_MAX = ENTRY_UNITS_MAX / 2;

/** Opens a session. The session id is the index of the log entry that opens it. */
export function openSession(change: Change, { clientName }: OpenSession): void {
  const id = change.index as number as SessionId;
  change.putUnversioned(SESSIONS, sessionKey(id), {
    clientName,
    openedMs: change.nowMs,
    activeMs: change.nowMs,
    highestSequence: 0,
    floorSequence: 1,
  });
}

/** Renews a session. @throws {Refusal} SESSION_EXPIRED */
export function keepSession(change: Change, { sessionId }: KeepSession): void {
  const session = sessionOf(change, sessionId);
  change.putUnversioned(SESSIONS, sessionKey(sessionId), { ...session, activeMs: change.nowMs });
}

/**
 * Closes a session, deletes its outcomes and releases its unfinished uploads. An unknown session is
 * no error.
 */
export function closeSession(change: Change, { sessionId }: CloseSession): void {
  removeSession(change, sessionId);
}

/**
 * Closes several sessions. Skips unknown sessions, and those that the cost of one entry does not allow:
 * the leader proposes them again.
 */
export function expireSessions(change: Change, { sessionIds }: ExpireSessions): void {
  for (const sessionId of sessionIds) {
    if (change.isCostBounded && change.units > EXPIRY_UNITS_MAX) return;
    removeSession(change, sessionId);
  }
}

function removeSession(change: Change, id: SessionId): void {
  if (change.session(id) === undefined) return;
  change.deleteUnversioned(SESSIONS, sessionKey(id));
  const start = outcomePrefix(id);
  for (const { key } of change.rows(
    OUTCOMES,
    { start, end: prefixEnd(start) },
    SESSION_OUTCOMES_MAX,
  )) {
    change.deleteUnversioned(OUTCOMES, key);
  }
  releaseStaged(change, id);
}

function sessionOf(change: Change, id: SessionId): SessionRecord {
  const session = change.session(id);
  if (session !== undefined) return session;
  throw refusal("session-unknown", { sessionId: id }, { sessionId: id });
}

/**
 * Runs a mutation once (Raft thesis §6.3). A retry returns the outcome of the first attempt,
 * success or refusal, and changes nothing.
 *
 * Invariant: an outcome is kept until the client acknowledges it, or until SESSION_OUTCOMES_MAX newer
 * outcomes replace it. A sequence below the kept outcomes is refused, because its mutation may have
 * run already.
 *
 * @throws {Refusal} SESSION_EXPIRED, INVALID_ARGUMENT: the mutation did not run and no outcome is
 *   stored
 */
export function applyOnce(change: Change, attempt: Attempt, run: () => Outcome): Outcome {
  const session = sessionOf(change, attempt.sessionId);
  checkAttempt(session, attempt);
  const key = outcomeKey(attempt.sessionId, attempt.sequence);
  // No outcome exists above the highest sequence. This avoids a store read for most mutations.
  const isRetry = attempt.sequence <= session.highestSequence;
  const first = isRetry ? change.get(OUTCOMES, key) : undefined;
  if (first !== undefined) return first;
  const outcome = run();
  change.insertUnversioned(OUTCOMES, key, outcome);
  moveWindow(change, session, attempt);
  return outcome;
}

function checkAttempt(session: SessionRecord, attempt: Attempt): void {
  const { sessionId, sequence, firstUnacknowledged } = attempt;
  if (sequence < 1 || firstUnacknowledged > sequence) {
    throw refusal("sequence-invalid", { sequence, firstUnacknowledged });
  }
  if (sequence >= session.floorSequence) return;
  const { floorSequence } = session;
  const facts = { sessionId, sequence, floor: floorSequence };
  throw refusal("outcome-dropped", facts, { sessionId, floorSequence });
}

function moveWindow(change: Change, session: SessionRecord, attempt: Attempt): void {
  const { sessionId, sequence, firstUnacknowledged } = attempt;
  const highestSequence = Math.max(session.highestSequence, sequence);
  const lowestKept = highestSequence - SESSION_OUTCOMES_MAX + 1;
  const floorSequence = Math.max(session.floorSequence, firstUnacknowledged, lowestKept);
  // No outcome exists above the old highest sequence. So the loop deletes at most SESSION_OUTCOMES_MAX.
  const end = Math.min(floorSequence, session.highestSequence + 1);
  for (let old = session.floorSequence; old < end; old += 1) {
    change.deleteUnversioned(OUTCOMES, outcomeKey(sessionId, old));
  }
  const { clientName, openedMs } = session;
  const activeMs = change.nowMs;
  const moved = { clientName, openedMs, activeMs, highestSequence, floorSequence };
  change.putUnversioned(SESSIONS, sessionKey(sessionId), moved);
}
