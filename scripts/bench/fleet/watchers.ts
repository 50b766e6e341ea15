import type { LocalCluster } from "../../../client/cli/cluster/local-cluster.ts";
import { AshlarError, isAshlarError } from "../../../shared/base/errors.ts";
import { Deferred } from "../../../shared/flow/deferred.ts";
import { type WatchMessage, watch } from "../../../shared/protocol/feed-api.ts";
import type { Stream } from "../../../shared/wire/rpc.ts";
import { WireCaller } from "./wire-caller.ts";

type WatchStream = Stream<object, WatchMessage>;

/** Connections over which the watchers are spread. */
const CONNECTIONS = 20;
const LIFETIME_MS = 24 * 60 * 60 * 1_000;

/** Watchers of separate directories that do not change, all at the leader. */
export class Watchers implements AsyncDisposable {
  readonly #callers: readonly WireCaller[];
  readonly #streams: WatchStream[] = [];
  readonly #reading: Promise<void>[] = [];
  #messageCount = 0;

  private constructor(cluster: LocalCluster) {
    this.#callers = Array.from(
      { length: CONNECTIONS },
      (_, number) => new WireCaller(cluster, "client", `watchers ${number}`),
    );
  }

  /**
   * Opens a watch of `count` directories. Resolves when each has sent its first message.
   *
   * @param directoryOf returns the path of a directory, which need not exist
   */
  static async open(
    cluster: LocalCluster,
    options: {
      readonly count: number;
      readonly heartbeatMs: number;
      readonly directoryOf: (number: number) => string;
    },
  ): Promise<Watchers> {
    const { count, heartbeatMs, directoryOf } = options;
    const watchers = new Watchers(cluster);
    const connections = await Promise.all(watchers.#callers.map((caller) => caller.connection()));
    const firsts: Deferred<void>[] = [];
    for (let number = 0; number < count; number += 1) {
      const connection = connections[number % CONNECTIONS] as (typeof connections)[number];
      const request = { path: Buffer.from(directoryOf(number)), heartbeatMs };
      const stream = connection.open(watch, request, { timeoutMs: LIFETIME_MS });
      watchers.#streams.push(stream);
      const first = new Deferred<void>();
      firsts.push(first);
      watchers.#reading.push(watchers.#read(stream, first));
    }
    await Promise.all(firsts.map(({ promise }) => promise));
    return watchers;
  }

  /** Number of messages so far, of all watchers together. */
  get messageCount(): number {
    return this.#messageCount;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const error = new AshlarError("CANCELLED", "The watch has ended");
    for (const stream of this.#streams) stream.cancel(error);
    await Promise.all(this.#reading);
    await Promise.all(this.#callers.map((caller) => caller[Symbol.asyncDispose]()));
  }

  async #read(stream: WatchStream, first: Deferred<void>): Promise<void> {
    try {
      for (;;) {
        const received = await stream.receive();
        if (received === null) return;
        received.release();
        this.#messageCount += 1;
        first.resolve();
      }
    } catch (error) {
      if (!isAshlarError(error)) throw error;
      first.reject(error);
    }
  }
}
