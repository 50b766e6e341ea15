import type { SessionId } from "../../shared/base/ids.ts";
import type { SessionActivity } from "../fleet-view.ts";

/**
 * Tracks the activity of client sessions. Keep-alives are soft state of the leader and cost no log
 * entry. Only the expiry of a session is an entry. A new leader gives each session a full interval.
 */
export class SessionMonitor implements SessionActivity {
  readonly #idleMsMax: number;
  readonly #lastActivityMs = new Map<SessionId, number>();

  constructor(options: { readonly idleMsMax: number }) {
    this.#idleMsMax = options.idleMsMax;
  }

  /** Drops all recorded activity at the start of a term. */
  reset(): void {
    this.#lastActivityMs.clear();
  }

  recordActivity(sessionId: SessionId, nowMs: number): void {
    this.#lastActivityMs.set(sessionId, nowMs);
  }

  /**
   * Returns the sessions of `known` that were inactive for longer than the limit, at most `limit`
   * sessions. Forgets sessions that are not in `known`.
   */
  expired(known: Iterable<SessionId>, nowMs: number, limit: number): SessionId[] {
    const existing = new Set<SessionId>();
    const expired: SessionId[] = [];
    for (const sessionId of known) {
      existing.add(sessionId);
      const lastActivityMs = this.#lastActivityMs.get(sessionId);
      if (lastActivityMs === undefined) this.#lastActivityMs.set(sessionId, nowMs);
      else if (nowMs - lastActivityMs > this.#idleMsMax && expired.length < limit)
        expired.push(sessionId);
    }
    for (const sessionId of this.#lastActivityMs.keys()) {
      if (!existing.has(sessionId)) this.#lastActivityMs.delete(sessionId);
    }
    return expired;
  }
}
