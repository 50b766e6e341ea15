import { join } from "node:path";
import type { Driver } from "../../../master/driver/driver.ts";
import { openDriver } from "../../../master/driver/open-driver.ts";
import type { Command, Outcome } from "../../../master/namespace/command.ts";
import { encodeCommand } from "../../../master/namespace/command-encoding.ts";
import { FEATURE_LEVEL_MAX } from "../../../master/namespace/feature-levels.ts";
import { Namespace } from "../../../master/namespace/namespace.ts";
import { openMemberStorage } from "../../../master/storage/open-member-storage.ts";
import type { ClusterId, MemberId, SessionId } from "../../../shared/base/ids.ts";
import { createHasher } from "../../../shared/platform/hasher.ts";
import { LmdbStores } from "../../../shared/platform/lmdb-store.ts";
import { NodeDisk } from "../../../shared/platform/node-disk.ts";
import { quietLog, unreadMetrics } from "../../../shared/platform/quiet.ts";
import { SystemClock } from "../../../shared/platform/system-clock.ts";
import { SystemRandom } from "../../../shared/platform/system-random.ts";
import type { Operation } from "../../../shared/protocol/namespace-api.ts";
import { CountedStores } from "./counted-stores.ts";

const MEMBER = 1 as MemberId;
const ADDRESS = "127.0.0.1:1";
const CLUSTER = "c".repeat(32) as ClusterId;
const HOUR_MS = 60 * 60 * 1_000;
/** Any time in ms since 1970. */
const START_MS = 1_700_000_000_000;

/**
 * One master without a network in this process: the driver, its log on disk and the state in LMDB. Its
 * clock is a number.
 */
export class LoneMaster implements AsyncDisposable {
  readonly driver: Driver;
  readonly stores: CountedStores;
  nowMs = START_MS;
  #sessionId = 0 as SessionId;
  #sequence = 0;

  private constructor(driver: Driver, stores: CountedStores) {
    this.driver = driver;
    this.stores = stores;
  }

  /** Founds a cluster in a new directory, with the highest feature level and one session. */
  static async found(directory: string, retentionMs: number): Promise<LoneMaster> {
    const { hasher } = createHasher();
    const clock = new SystemClock();
    const env = {
      clock,
      random: new SystemRandom(),
      hasher,
      log: quietLog,
      metrics: unreadMetrics,
    };
    const stores = new CountedStores(new LmdbStores(join(directory, "state")));
    const driver = await openDriver({
      env,
      disk: new NodeDisk(join(directory, "log")),
      stores,
      openStorage: openMemberStorage,
      openStateMachine: (store) =>
        Namespace.open({ store, hasher, yieldTurn: () => clock.yieldTurn() }),
      connect: () => Promise.reject(new Error("A lone master has no peers")),
      clusterId: CLUSTER,
      memberId: MEMBER,
      members: [{ id: MEMBER, address: ADDRESS }],
      onFatal: (error) => {
        throw error;
      },
    });
    const master = new LoneMaster(driver, stores);
    while (!driver.status().isReady) await clock.sleep(10);
    await master.#bootstrap(retentionMs);
    return master;
  }

  async #bootstrap(historyRetentionMs: number): Promise<void> {
    const { nowMs } = this;
    await this.propose({
      kind: "bootstrap",
      nowMs,
      clusterId: CLUSTER,
      chunkKey: new Uint8Array(32).fill(7),
      defaultClass: { name: "standard", copies: 3, copiesMin: 2, racksMin: 2 },
      inlineBytesMax: 4096,
      historyRetentionMs,
      intentLifetimeMs: HOUR_MS,
      sessionIdleMsMax: HOUR_MS,
    });
    const enrolmentKey = new Uint8Array(32).fill(8);
    await this.propose({ kind: "raise-feature-level", level: FEATURE_LEVEL_MAX, enrolmentKey });
    const opened = await this.propose({ kind: "open-session", nowMs, clientName: "bench" });
    this.#sessionId = opened.index as number as SessionId;
  }

  /** The state. */
  get namespace(): Namespace {
    return this.driver.stateMachine as Namespace;
  }

  /** Resolves when the command is on disk and applied. @throws {Error} if it is refused */
  async propose(command: Command): Promise<Outcome> {
    const { outcome } = await this.driver.propose(encodeCommand(command));
    const result = outcome as Outcome;
    if (!result.ok) throw new Error(`${command.kind} was refused: ${result.code}`);
    return result;
  }

  /**
   * Proposes a transaction of each operation, all in one turn, as a client with as many callers does. All
   * earlier ones must have ended.
   */
  async transactEach(operations: readonly Operation[]): Promise<void> {
    const { nowMs } = this;
    const firstUnacknowledged = this.#sequence + 1;
    await Promise.all(
      operations.map((operation) => {
        this.#sequence += 1;
        const attempt = {
          sessionId: this.#sessionId,
          sequence: this.#sequence,
          firstUnacknowledged,
        };
        return this.propose({
          kind: "transact",
          nowMs,
          attempt,
          preconditions: [],
          operations: [operation as never],
        });
      }),
    );
  }

  /** Writes all changes to the store. */
  async flush(): Promise<void> {
    while (this.namespace.durable.index < this.namespace.appliedIndex) {
      await new SystemClock().sleep(20);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.driver.close();
  }
}
