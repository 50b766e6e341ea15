import { chunkIdOfKey, lostKeysAfter } from "../../../chunkserver/store/index-keys.ts";
import { decodeLoss } from "../../../chunkserver/store/lost-replica.ts";
import { fromHex } from "../../../shared/base/bytes.ts";
import { isAshlarError } from "../../../shared/base/errors.ts";
import type { ChunkId, Digest, LogIndex, ServerId } from "../../../shared/base/ids.ts";
import { SlabPool } from "../../../shared/flow/slabs.ts";
import type { StoreChange } from "../../../shared/ports/ordered-store.ts";
import { heartbeat, register } from "../../../shared/protocol/fleet-api.ts";
import { ConnectionPool } from "../../../shared/wire/connection-pool.ts";
import { BackgroundFaults } from "./background-faults.ts";
import { type CopyChecks, isRecordChange } from "./copy-checks.ts";
import { SimulatedProcess } from "./simulated-process.ts";
import {
  CLUSTER_ID,
  masterAddress,
  type SimulatedChunkserver,
  type SimulatedMaster,
} from "./simulated-servers.ts";
import type { SimulationEnvironment } from "./simulation-environment.ts";
import { Violation } from "./violation.ts";

const HOST = "r1";
/** Time from a seal to the delayed report of the earlier loss. */
const DELAY_MS = { min: 300, max: 5_000 };
/** Attempts to send a report: the leader may not have recorded the sealed copy yet. */
const ATTEMPTS_MAX = 20;
const TIMEOUT_MS = 5_000;
const SPACE_BYTES = 1e12;
/** First byte of the keys of lost replicas. */
const LOST_TABLE = lostKeysAfter(null).start[0];

/** A copy that a chunkserver lost and reported. */
interface Loss {
  readonly chunkId: ChunkId;
  readonly reason: string;
  readonly intentIndex: LogIndex;
}

/** The processes of the reports. */
export interface DelayedReportsDeps {
  readonly chunkservers: readonly SimulatedChunkserver[];
  readonly copies: CopyChecks;
  readonly leader: () => SimulatedMaster | undefined;
  /** Called with an error that no fault explains. */
  readonly onError: (error: unknown) => void;
}

/**
 * Heartbeats with the report of a lost copy that reach the leader after the server has sealed the chunk
 * again: the network delayed the first attempt, and the server sent the report a second time. A delayed
 * report must not remove the new copy from the state.
 */
export class DelayedReports extends BackgroundFaults {
  readonly counts = { "delayed report of a lost copy": 0 };
  /** The network between the servers and the leader: it sends the delayed reports. */
  readonly process: SimulatedProcess<ConnectionPool>;
  readonly #environment: SimulationEnvironment;
  readonly #deps: DelayedReportsDeps;
  readonly #random;
  /** By host and chunk: the last loss. */
  readonly #losses = new Map<string, Loss>();

  constructor(environment: SimulationEnvironment, deps: DelayedReportsDeps) {
    super();
    this.#environment = environment;
    this.#deps = deps;
    this.#random = environment.randomFor("delayed reports");
    environment.useOwnDelayRandom(HOST);
    this.process = new SimulatedProcess(environment, HOST, async ({ env }) => {
      const slabs = new SlabPool({ bytesMax: 1024 * 1024 });
      const identity = { role: "chunkserver", clusterId: CLUSTER_ID, name: HOST } as const;
      return new ConnectionPool({ ...env, slabs }, { identity: () => identity, role: "master" });
    });
    for (const server of deps.chunkservers) {
      const { onCommitted } = server.stores;
      server.stores.onCommitted = (name, store, changes) => {
        onCommitted(name, store, changes);
        this.#onChanged(server, changes);
      };
    }
  }

  override start(): void {
    super.start();
    this.process.start();
  }

  #onChanged(server: SimulatedChunkserver, changes: readonly StoreChange[]): void {
    for (const { key, value } of changes) {
      if (value === null || key[0] !== LOST_TABLE) continue;
      const { reason, intentIndex } = decodeLoss(value);
      const chunkId = chunkIdOfKey(key);
      if (intentIndex !== null)
        this.#losses.set(`${server.host} ${chunkId}`, { chunkId, reason, intentIndex });
    }
    for (const change of changes) {
      if (!this.isActive || !isRecordChange(change) || change.value === null) continue;
      const loss = this.#losses.get(`${server.host} ${chunkIdOfKey(change.key)}`);
      if (loss !== undefined) this.#report(server, loss).catch(this.#deps.onError);
    }
  }

  /** Sends the report of a loss once the state records the copy that was sealed after the loss. */
  async #report(server: SimulatedChunkserver, loss: Loss): Promise<void> {
    const { clock } = this.#environment;
    const delayMs = this.#random.logUniform(DELAY_MS.min, DELAY_MS.max);
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt += 1) {
      await clock.sleep(delayMs);
      const serverId = this.#deps.copies.idOf(server);
      if (!this.isActive || serverId === null) return;
      const recorded = this.#recorded(serverId, loss.chunkId);
      if (recorded === undefined || recorded <= loss.intentIndex) continue;
      if (await this.#send(server, serverId, loss)) this.#check(server, serverId, loss);
      return;
    }
  }

  /** Returns the intent of the recorded copy. Undefined if none is recorded. */
  #recorded(serverId: ServerId, chunkId: ChunkId): LogIndex | undefined {
    const replicas = this.#deps.copies.state()?.chunk(chunkId)?.replicas;
    return replicas?.find((replica) => replica.serverId === serverId)?.intentIndex;
  }

  /** @returns whether the leader has accepted the report */
  async #send(server: SimulatedChunkserver, serverId: ServerId, loss: Loss): Promise<boolean> {
    const leader = this.#deps.leader();
    const { running: pool } = this.process;
    const location = this.#deps.copies.state()?.server(serverId);
    if (leader === undefined || pool === null || location === undefined) return false;
    if (server.clock?.isFrozen !== false) return false;
    const availableBytes = server.capacityBytes === undefined ? SPACE_BYTES : 0;
    const space = { totalBytes: SPACE_BYTES, availableBytes, usedBytes: 0 };
    const results = { copied: [], copyFailed: [], purged: [], lost: [loss] };
    const state = { space, isDiskFailed: false, chunkCount: 0, activeWrites: 0 };
    this.counts["delayed report of a lost copy"] += 1;
    this.#environment.trace.note(server.host, `a delayed report that ${loss.chunkId} was lost`);
    try {
      const options = { timeoutMs: TIMEOUT_MS };
      const address = masterAddress(leader.host);
      // The connection of the server, as far as the leader knows.
      const proof = { credential: credentialOf(server), token: null };
      const registration = { server: location, clusterId: CLUSTER_ID, space, proof };
      (await pool.call(address, register, registration, options)).release();
      const request = { serverId, ...state, ...results };
      (await pool.call(address, heartbeat, request, options)).release();
      return true;
    } catch (error) {
      if (isAshlarError(error)) return false;
      throw error;
    }
  }

  #check(server: SimulatedChunkserver, serverId: ServerId, loss: Loss): void {
    const { copies } = this.#deps;
    const { chunkId, intentIndex } = loss;
    const isReferenced = copies.state()?.chunk(chunkId) !== undefined;
    const isLostAgain = this.#losses.get(`${server.host} ${chunkId}`) !== loss;
    if (!isReferenced || isLostAgain || copies.idOf(server) === null) return;
    if (!copies.holds(server, chunkId) || this.#recorded(serverId, chunkId) !== undefined) return;
    const text = `A delayed report of ${server.host} that chunk ${chunkId} of intent ${intentIndex} was lost removes a later copy`;
    this.#environment.reportViolation(new Violation(text, [server.host, chunkId]));
  }
}

/** Returns the credential on the disk of the server. */
function credentialOf({ disk }: SimulatedChunkserver): Digest | null {
  const bytes = disk.contentOf("credential.json");
  if (bytes === null) return null;
  const { credential } = JSON.parse(new TextDecoder().decode(bytes)) as { credential: string };
  return fromHex(credential) as Digest;
}
