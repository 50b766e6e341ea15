import type { LocalCluster } from "../../../client/cli/cluster/local-cluster.ts";
import { isAshlarError } from "../../../shared/base/errors.ts";
import type { SessionId } from "../../../shared/base/ids.ts";
import { keepSession, openSession } from "../../../shared/protocol/namespace-api.ts";
import { runMany } from "../rates.ts";
import { WireCaller } from "./wire-caller.ts";

/** Connections over which the sessions are spread. */
const CONNECTIONS = 16;
const OPENS_IN_PARALLEL = 64;
/** Keep-alives of a session in its idle time, as the client library sends. */
const KEEPS_PER_IDLE_TIME = 3;

/** Idle client sessions that are kept alive. */
export class ClientSessions implements AsyncDisposable {
  readonly #callers: readonly WireCaller[];
  readonly #sessionIds: readonly SessionId[];
  readonly #timer: NodeJS.Timeout;
  readonly #pending = new Set<Promise<void>>();
  #kept = 0;
  /** The first error that does not pass by itself: the sessions that the figures name are not all open. */
  #failure: unknown = null;

  private constructor(
    callers: readonly WireCaller[],
    sessionIds: readonly SessionId[],
    idleMsMax: number,
  ) {
    this.#callers = callers;
    this.#sessionIds = sessionIds;
    // Renews one session after the other, evenly over the time.
    const intervalMs = idleMsMax / KEEPS_PER_IDLE_TIME / sessionIds.length;
    this.#timer = setInterval(() => this.#keepNext(), intervalMs);
  }

  /** Opens `count` sessions. Resolves with them and the number of opened sessions per second. */
  static async open(
    cluster: LocalCluster,
    count: number,
  ): Promise<{ readonly sessions: ClientSessions; readonly rate: number }> {
    const callers = Array.from(
      { length: CONNECTIONS },
      (_, number) => new WireCaller(cluster, "client", `sessions ${number}`),
    );
    const sessionIds: SessionId[] = [];
    let idleMsMax = 0;
    const { rate } = await runMany({ count, parallel: OPENS_IN_PARALLEL }, async (number) => {
      const caller = callers[number % CONNECTIONS] as WireCaller;
      const opened = await caller.call(openSession, { clientName: `client ${number}` });
      sessionIds.push(opened.sessionId);
      ({ idleMsMax } = opened);
    });
    return { sessions: new ClientSessions(callers, sessionIds, idleMsMax), rate };
  }

  /** @throws the first error of a session, such as SESSION_EXPIRED: the run measured fewer sessions than it reports */
  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer);
    await Promise.all(this.#pending);
    await Promise.all(this.#callers.map((caller) => caller[Symbol.asyncDispose]()));
    if (this.#failure !== null) throw this.#failure;
  }

  #keepNext(): void {
    const number = this.#kept % this.#sessionIds.length;
    this.#kept += 1;
    const pending = this.#keep(number).finally(() => this.#pending.delete(pending));
    this.#pending.add(pending);
  }

  async #keep(number: number): Promise<void> {
    const caller = this.#callers[number % CONNECTIONS] as WireCaller;
    try {
      await caller.call(keepSession, { sessionId: this.#sessionIds[number] as SessionId });
    } catch (error) {
      // During an election the next turn of the session is early enough.
      if (!isAshlarError(error) || error.retry === "never") this.#failure ??= error;
    }
  }
}
