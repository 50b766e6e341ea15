import type { ServerId } from "../../shared/base/ids.ts";
import type { Clock } from "../../shared/ports/clock.ts";

/** Time until a server is assumed to have been updated. */
const OLD_MS = 5 * 60_000;

/** Chunkservers of an old version, which do not know `chunk.put-small`. */
export class OldServers {
  readonly #clock: Clock;
  /** Monotonic time at which each is forgotten. */
  readonly #untilMs = new Map<ServerId, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  add(serverId: ServerId): void {
    const nowMs = this.#clock.monotonicMs();
    for (const [each, untilMs] of this.#untilMs) if (untilMs <= nowMs) this.#untilMs.delete(each);
    this.#untilMs.set(serverId, nowMs + OLD_MS);
  }

  /** Whether one of the servers was old a short time ago. */
  hasOneOf(servers: readonly { readonly serverId: ServerId }[]): boolean {
    if (this.#untilMs.size === 0) return false;
    const nowMs = this.#clock.monotonicMs();
    return servers.some(({ serverId }) => (this.#untilMs.get(serverId) ?? 0) > nowMs);
  }
}
