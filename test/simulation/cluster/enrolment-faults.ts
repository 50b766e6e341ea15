import type { FileSystem } from "../../../client/file-system.ts";
import { present } from "../../../shared/base/assert.ts";
import { isAshlarError } from "../../../shared/base/errors.ts";
import type { ServerId } from "../../../shared/base/ids.ts";
import { SlabPool } from "../../../shared/flow/slabs.ts";
import { register } from "../../../shared/protocol/fleet-api.ts";
import { ConnectionPool } from "../../../shared/wire/connection-pool.ts";
import { SimulatedProcess } from "./simulated-process.ts";
import {
  CLUSTER_ID,
  masterAddress,
  type SimulatedChunkserver,
  type SimulatedMaster,
} from "./simulated-servers.ts";
import type { SimulationEnvironment } from "./simulation-environment.ts";
import { Violation } from "./violation.ts";

const HOST = "x1";
const CALL_TIMEOUT_MS = 5_000;
const RETRY_MS = 500;
/** Longer than a run. The clocks of the masters jump by an hour. */
const TOKEN_VALID_MS = 24 * 60 * 60 * 1_000;
/** Attempts to register without a proof, before the first rotation opens the enrolment. */
const INTRUSIONS = 3;
const INTERVAL_MS = { busy: { min: 500, max: 8_000 }, quiet: { min: 10_000, max: 60_000 } };

export interface EnrolmentFaultsDeps {
  readonly chunkservers: readonly SimulatedChunkserver[];
  readonly leader: () => SimulatedMaster | undefined;
  /** Returns the client of the operator. Null: it is not connected. */
  readonly admin: () => FileSystem | null;
  /** Returns the id of a chunkserver. Null while its index is closed. */
  readonly idOf: (server: SimulatedChunkserver) => ServerId | null;
}

/**
 * The chunkservers enrol with a token at the beginning. A process without a proof then tries to register
 * as a new server and as one of them, and must never get the chunk key. Later the operator rotates the key
 * while clients write: it opens the enrolment, and closes it.
 */
export class EnrolmentFaults {
  readonly counts = { "registration without a proof": 0, "key rotation": 0 };
  /** The process that registers without a proof. */
  readonly process: SimulatedProcess<ConnectionPool>;
  joinToken: string | undefined;
  readonly #environment: SimulationEnvironment;
  readonly #deps: EnrolmentFaultsDeps;
  readonly #random;
  #hasEnded = false;
  #mustClose = false;

  constructor(environment: SimulationEnvironment, deps: EnrolmentFaultsDeps) {
    this.#environment = environment;
    this.#deps = deps;
    this.#random = environment.randomFor("enrolment faults");
    environment.useOwnDelayRandom(HOST);
    this.process = new SimulatedProcess(environment, HOST, async ({ env }) => {
      const slabs = new SlabPool({ bytesMax: 1024 * 1024 });
      const identity = { role: "chunkserver", clusterId: CLUSTER_ID, name: HOST } as const;
      return new ConnectionPool({ ...env, slabs }, { identity: () => identity, role: "master" });
    });
  }

  /** Description of a pending task of the operator. Null: there is none. */
  get pendingTask(): string | null {
    return this.#mustClose ? "the enrolment is open" : null;
  }

  /** Starts the chunkservers with a new join token. */
  async startServers(): Promise<void> {
    const fs = present(this.#deps.admin(), "the operator is connected");
    this.joinToken = await fs.enrolment.makeToken({ validMs: TOKEN_VALID_MS });
    for (const server of this.#deps.chunkservers) server.start();
  }

  /** Injects faults until `end` is called. */
  async run(): Promise<void> {
    this.process.start();
    const { clock, loadPhases } = this.#environment;
    for (let step = 0; !this.#hasEnded; step += 1) {
      await loadPhases.pause(clock, this.#random, INTERVAL_MS);
      if (this.#hasEnded) break;
      if (step < INTRUSIONS) await this.#intrude();
      else await this.#rotate();
    }
    while (this.#mustClose) {
      await clock.sleep(RETRY_MS);
      await this.#close();
    }
  }

  end(): void {
    this.#hasEnded = true;
  }

  /** Registers without a proof, or with a token that the masters do not know. */
  async #intrude(): Promise<void> {
    const { clock, trace } = this.#environment;
    const leader = this.#deps.leader();
    const { running: pool } = this.process;
    const victim = this.#deps.idOf(this.#random.pick(this.#deps.chunkservers));
    const serverId = this.#random.chance(0.5) ? victim : ("f".repeat(32) as ServerId);
    if (leader === undefined || pool === null || serverId === null) return;
    this.counts["registration without a proof"] += 1;
    trace.note(HOST, `registers as ${serverId} without a proof`);
    const proof = this.#random.chance(0.5) ? {} : { proof: { credential: null, token: "guess" } };
    const space = { totalBytes: 1e12, availableBytes: 1e12, usedBytes: 0 };
    const server = { serverId, address: `${HOST}:1`, host: HOST, rack: "rack-0" };
    const request = { server, clusterId: CLUSTER_ID, space, ...proof };
    const sentMs = clock.monotonicMs();
    try {
      const options = { timeoutMs: CALL_TIMEOUT_MS };
      (await pool.call(masterAddress(leader.host), register, request, options)).release();
    } catch (error) {
      if (isAshlarError(error)) return;
      throw error;
    }
    // A master with a corrupt row may answer anything.
    if (this.#environment.hadMisleadingMaster(sentMs)) return;
    const text = `${HOST} gets the chunk key without a proof, as ${serverId}`;
    this.#environment.reportViolation(new Violation(text, [HOST]));
  }

  async #rotate(): Promise<void> {
    const fs = this.#deps.admin();
    if (fs === null) return;
    this.#environment.trace.note("simulation", "the operator rotates the chunk key");
    this.#mustClose = true; // Also if the answer is lost.
    await this.#try(() => fs.enrolment.open({ timeoutMs: CALL_TIMEOUT_MS }));
    if (await this.#close()) this.counts["key rotation"] += 1;
  }

  /** @returns whether the enrolment is closed. Refused while a live server has not enrolled */
  async #close(): Promise<boolean> {
    const fs = this.#deps.admin();
    if (fs === null) return false;
    const isClosed = await this.#try(() => fs.enrolment.close({ timeoutMs: CALL_TIMEOUT_MS }));
    if (isClosed) this.#mustClose = false;
    return isClosed;
  }

  async #try(act: () => Promise<unknown>): Promise<boolean> {
    try {
      await act();
      return true;
    } catch (error) {
      if (!isAshlarError(error)) throw error;
      this.#environment.trace.note("simulation", `operator call fails: ${error.message}`);
      return false;
    }
  }
}
