import { AshlarError } from "../../shared/base/errors.ts";
import type { SessionId } from "../../shared/base/ids.ts";
import type { SessionActivity } from "../fleet-view.ts";

/** Maximum number of open sessions. A process has one for each connection to the cluster. */
const SESSIONS_MAX = 100_000;

/**
 * Tracks the activity of client sessions. Keep-alives are soft state of the leader and cost no log
 * entry. Only the expiry of a session is an entry. A new leader gives each session a full interval.
 */
export class SessionMonitor implements SessionActivity {
  readonly #idleMsMax: number;
  readonly #sessionsMax: number;
  /** Time of the last activity, the least recently active session first. */
  readonly #lastActivityMs = new Map<SessionId, number>();

  constructor(options: { readonly idleMsMax: number; readonly sessionsMax?: number }) {
    this.#idleMsMax = options.idleMsMax;
    this.#sessionsMax = options.sessionsMax ?? SESSIONS_MAX;
  }

  /** Drops all recorded activity at the start of a term. */
  reset(): void {
    this.#lastActivityMs.clear();
  }

  checkRoom(): void {
    if (this.#lastActivityMs.size < this.#sessionsMax) return;
    throw new AshlarError(
      "OVERLOADED",
      `Cannot open a session: expected fewer than ${this.#sessionsMax} open sessions`,
    );
  }

  recordActivity(sessionId: SessionId, nowMs: number): void {
    this.#lastActivityMs.delete(sessionId); // Moves the session to the end.
    this.#lastActivityMs.set(sessionId, nowMs);
  }

  /** Starts the interval of sessions that are not known yet. */
  addKnown(sessionIds: readonly SessionId[], nowMs: number): void {
    for (const sessionId of sessionIds) {
      if (!this.#lastActivityMs.has(sessionId)) this.#lastActivityMs.set(sessionId, nowMs);
    }
  }

  forget(sessionIds: readonly SessionId[]): void {
    for (const sessionId of sessionIds) this.#lastActivityMs.delete(sessionId);
  }

  /**
   * Returns at most `limit` sessions that were inactive for longer than the limit. The work does not
   * grow with the number of the others.
   */
  expired(nowMs: number, limit: number): SessionId[] {
    const expired: SessionId[] = [];
    for (const [sessionId, lastActivityMs] of this.#lastActivityMs) {
      if (nowMs - lastActivityMs <= this.#idleMsMax || expired.length === limit) break;
      expired.push(sessionId);
    }
    return expired;
  }
}
