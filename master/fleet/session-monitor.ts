import type { SessionId } from "../../shared/base/ids.ts";
import type { SessionActivity } from "../fleet-view.ts";

/**
 * Which client sessions have gone silent. Keep-alives are soft state of the leader and cost no log
 * entry; that a session ends is an entry. A new leader gives every session a full interval.
 */
export class SessionMonitor implements SessionActivity {
  readonly #idleMsMax: number;
  readonly #heardMs = new Map<SessionId, number>();

  constructor(options: { readonly idleMsMax: number }) {
    this.#idleMsMax = options.idleMsMax;
  }

  reset(): void {
    this.#heardMs.clear();
  }

  recordActivity(sessionId: SessionId, nowMs: number): void {
    this.#heardMs.set(sessionId, nowMs);
  }

  /** Of the sessions that the log knows, those that have been silent too long; at most `limit`. */
  expired(known: Iterable<SessionId>, nowMs: number, limit: number): SessionId[] {
    const alive = new Set<SessionId>();
    const expired: SessionId[] = [];
    for (const sessionId of known) {
      alive.add(sessionId);
      const heardMs = this.#heardMs.get(sessionId);
      if (heardMs === undefined) this.#heardMs.set(sessionId, nowMs);
      else if (nowMs - heardMs > this.#idleMsMax && expired.length < limit) expired.push(sessionId);
    }
    for (const sessionId of this.#heardMs.keys()) {
      if (!alive.has(sessionId)) this.#heardMs.delete(sessionId);
    }
    return expired;
  }
}
