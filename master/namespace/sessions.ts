import type { SessionId } from "../../shared/base/ids.ts";
import type { Attempt } from "../../shared/protocol/namespace-api.ts";
import type { Change } from "./change.ts";
import type { CloseSession, ExpireSessions, KeepSession, OpenSession, Outcome } from "./command.ts";
import { outcomeKey, outcomePrefix, prefixEnd, sessionKey } from "./keys.ts";
import type { SessionRecord } from "./records.ts";
import { Refusal } from "./refusal.ts";
import { OUTCOMES, SESSIONS } from "./tables.ts";

/** Outcomes that a session holds: a client may have so many mutations without an answer. */
export const OUTCOMES_MAX = 1024;

/** @returns the outcome; the session's id is the index of the entry. */
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

export function keepSession(change: Change, { sessionId }: KeepSession): void {
  const session = sessionOf(change, sessionId);
  change.putUnversioned(SESSIONS, sessionKey(sessionId), { ...session, activeMs: change.nowMs });
}

export function closeSession(change: Change, { sessionId }: CloseSession): void {
  removeSession(change, sessionId);
}

export function expireSessions(change: Change, { sessionIds }: ExpireSessions): void {
  for (const sessionId of sessionIds) removeSession(change, sessionId);
}

function removeSession(change: Change, id: SessionId): void {
  if (change.session(id) === undefined) return;
  change.deleteUnversioned(SESSIONS, sessionKey(id));
  const start = outcomePrefix(id);
  for (const { key } of change.rows(OUTCOMES, { start, end: prefixEnd(start) }, OUTCOMES_MAX)) {
    change.deleteUnversioned(OUTCOMES, key);
  }
}

function sessionOf(change: Change, id: SessionId): SessionRecord {
  const session = change.session(id);
  if (session !== undefined) return session;
  throw new Refusal(
    "SESSION_EXPIRED",
    `Cannot use session ${id}: expected one that is open: it is not, or no longer`,
    { sessionId: id },
  );
}

/**
 * Runs a mutation once (Raft thesis §6.3): a retry gets the outcome of the first attempt, granted
 * or refused, and changes nothing.
 *
 * Invariant: an outcome is kept from the mutation on until the client says that it will not ask
 * again, or OUTCOMES_MAX newer ones push it out. Below that, a mutation that may have run is refused.
 *
 * @throws {Refusal} SESSION_EXPIRED, INVALID_ARGUMENT: nothing was run, nothing is kept of it.
 */
export function applyOnce(change: Change, attempt: Attempt, run: () => Outcome): Outcome {
  const session = sessionOf(change, attempt.sessionId);
  checkAttempt(session, attempt);
  const key = outcomeKey(attempt.sessionId, attempt.sequence);
  // Above the highest sequence there is none: a look at the store is saved for most mutations.
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
    throw new Refusal(
      "INVALID_ARGUMENT",
      `Cannot apply sequence ${sequence}: expected it to be 1 or more and not acknowledged: the client acknowledged all below ${firstUnacknowledged}`,
    );
  }
  if (sequence >= session.floorSequence) return;
  throw new Refusal(
    "SESSION_EXPIRED",
    `Cannot apply sequence ${sequence} of session ${sessionId}: expected ${session.floorSequence} or more: older outcomes are forgotten`,
    { sessionId, floorSequence: session.floorSequence },
  );
}

function moveWindow(change: Change, session: SessionRecord, attempt: Attempt): void {
  const { sessionId, sequence, firstUnacknowledged } = attempt;
  const highestSequence = Math.max(session.highestSequence, sequence);
  const lowestKept = highestSequence - OUTCOMES_MAX + 1;
  const floorSequence = Math.max(session.floorSequence, firstUnacknowledged, lowestKept);
  // No outcome stands above the old highest sequence, and the window was no wider than its bound.
  const end = Math.min(floorSequence, session.highestSequence + 1);
  for (let old = session.floorSequence; old < end; old += 1) {
    change.deleteUnversioned(OUTCOMES, outcomeKey(sessionId, old));
  }
  const { clientName, openedMs } = session;
  const activeMs = change.nowMs;
  const moved = { clientName, openedMs, activeMs, highestSequence, floorSequence };
  change.putUnversioned(SESSIONS, sessionKey(sessionId), moved);
}
