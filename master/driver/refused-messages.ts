import { AshlarError } from "../../shared/base/errors.ts";
import type { Clock } from "../../shared/ports/clock.ts";
import type { Log } from "../../shared/ports/log.ts";
import type { Violation } from "../raft/check-message.ts";
import type { Message } from "../raft/messages.ts";

/** Shortest time between two log lines: a peer may repeat such a message. */
const LOG_INTERVAL_MS = 1_000;

/** Dependencies of RefusedMessages. */
export interface RefusedMessagesOptions {
  readonly clock: Clock;
  readonly log: Log;
  /** Called when this member has lost entries that it had acknowledged. It must stop. */
  readonly onLogLost: (error: AshlarError) => void;
}

/**
 * Logs the messages that the core has refused, and stops the member if one shows that acknowledged
 * entries are lost.
 */
export class RefusedMessages {
  readonly #options: RefusedMessagesOptions;
  #loggedMs = Number.NEGATIVE_INFINITY;
  #unloggedCount = 0;

  constructor(options: RefusedMessagesOptions) {
    this.#options = options;
  }

  note(message: Message, { reason, isLogLost }: Violation): void {
    const { clock, log, onLogLost } = this.#options;
    const from = "from" in message ? message.from : message.to;
    const text = `Cannot accept ${message.kind} of member ${from}: ${reason}`;
    const nowMs = clock.monotonicMs();
    if (nowMs - this.#loggedMs >= LOG_INTERVAL_MS) {
      // A plain error: either a master has a bug, or the process is no master of this cluster.
      const fields = { error: new Error(text), unloggedCount: this.#unloggedCount };
      log.error("Refused a message of another master", fields);
      this.#loggedMs = nowMs;
      this.#unloggedCount = 0;
    } else this.#unloggedCount += 1;
    if (isLogLost) onLogLost(new AshlarError("LOG_CORRUPT", text));
  }
}
