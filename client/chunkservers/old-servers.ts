import type { ServerId } from "../../shared/base/ids.ts";
import type { Clock } from "../../shared/ports/clock.ts";

/** Chunkservers of an old version, which do not know a method. */
export class OldServers {
  readonly #clock: Clock;
  readonly #oldMs: number;
  /** Monotonic time at which each is forgotten. */
  readonly #untilMs = new Map<ServerId, number>();

  /** @param oldMs time in milliseconds until a server is assumed to have been updated */
  constructor(clock: Clock, oldMs: number) {
    this.#clock = clock;
    this.#oldMs = oldMs;
  }

  add(serverId: ServerId): void {
    const nowMs = this.#clock.monotonicMs();
    for (const [each, untilMs] of this.#untilMs) if (untilMs <= nowMs) this.#untilMs.delete(each);
    this.#untilMs.set(serverId, nowMs + this.#oldMs);
  }

  /** Whether one of the servers was old a short time ago. */
  hasOneOf(servers: readonly { readonly serverId: ServerId }[]): boolean {
    if (this.#untilMs.size === 0) return false;
    const nowMs = this.#clock.monotonicMs();
    return servers.some(({ serverId }) => (this.#untilMs.get(serverId) ?? 0) > nowMs);
  }
}
