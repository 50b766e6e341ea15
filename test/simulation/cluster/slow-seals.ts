import { decodeChunkRecord } from "../../../chunkserver/store/chunk-record.ts";
import { chunkIdOfKey } from "../../../chunkserver/store/index-keys.ts";
import type { ChunkId } from "../../../shared/base/ids.ts";
import type { StoreChange } from "../../../shared/ports/ordered-store.ts";
import { BackgroundFaults } from "./background-faults.ts";
import { type CopyChecks, isRecordChange } from "./copy-checks.ts";
import type { SimulatedChunkserver } from "./simulated-servers.ts";
import type { SimulationEnvironment } from "./simulation-environment.ts";
import type { SimulationRandom } from "./simulation-random.ts";

/** Probability that a seal is slow, by kind. */
const PROBABILITY = { "slow repair copy": 0.8, "slow seal of a blamed server": 0.15 };
/** Time from the end of a slow seal to the next one of its kind. */
const INTERVAL_MS = { min: 5_000, max: 90_000 };
const POLL_MS = 250;
/** Time after which a seal ends although its intent is valid. Longer than the lifetime of an intent. */
const SLOW_MS_MAX = 45_000;
/** Time after which the seal of a chunk ends that no file refers to. */
const UNREFERENCED_MS_MAX = 15_000;
/** Time after the seal for which the disk has no space, so that repair orders no copy to it. */
const FULL_MS = 10_000;
/** More than the time after which a chunkserver asks about a copy that repair ordered. */
const WALL_JUMP_MS = 11 * 60_000;

type SlowSealKind = keyof typeof PROBABILITY;

/** A new record of a chunk in a commit. */
interface Seal {
  readonly chunkId: ChunkId;
  readonly intentIndex: number;
}

/**
 * Seals that take longer than the lifetime of their intent, because the commit to the index stalls: slow
 * repair copies, and the ends of write chains that the client has given up and that seal nevertheless.
 * Such a copy is good, and the replicated state does not record it. The disk is full until some time after
 * the seal, and then the wall clock jumps, so that the server asks about the copy before repair uses it.
 */
export class SlowSeals extends BackgroundFaults {
  /** Number of slow seals, by kind. */
  readonly counts: Record<SlowSealKind, number> = {
    "slow repair copy": 0,
    "slow seal of a blamed server": 0,
  };
  readonly #environment: SimulationEnvironment;
  readonly #copies: CopyChecks;
  readonly #random: SimulationRandom;
  /** By kind: when the next one may begin. */
  readonly #nextMs: Record<SlowSealKind, number> = {
    "slow repair copy": 0,
    "slow seal of a blamed server": 0,
  };

  constructor(
    environment: SimulationEnvironment,
    deps: { readonly copies: CopyChecks; readonly chunkservers: readonly SimulatedChunkserver[] },
  ) {
    super();
    this.#environment = environment;
    this.#copies = deps.copies;
    this.#random = environment.randomFor("slow seals");
    for (const server of deps.chunkservers) {
      server.beforeCommit = (changes) => this.#beforeChange(server, changes);
    }
  }

  get #nowMs(): number {
    return this.#environment.clock.monotonicMs();
  }

  async #beforeChange(
    server: SimulatedChunkserver,
    changes: readonly StoreChange[],
  ): Promise<void> {
    const seal = this.isActive ? this.#sealIn(server, changes) : undefined;
    if (seal === undefined) return;
    const kind = this.#isWanted(server, seal) ? "slow repair copy" : "slow seal of a blamed server";
    if (this.#nowMs < this.#nextMs[kind] || !this.#random.chance(PROBABILITY[kind])) return;
    const { clock, trace } = this.#environment;
    trace.note(server.host, `${kind}: ${seal.chunkId}; its disk is full`);
    this.counts[kind] += 1;
    this.#nextMs[kind] = this.#nowMs + SLOW_MS_MAX;
    const capacityBytes = server.disk.usedBytes;
    server.capacityBytes = capacityBytes;
    const endFull = (): void => {
      if (server.capacityBytes === capacityBytes) server.capacityBytes = undefined;
    };
    clock.after(SLOW_MS_MAX + FULL_MS, endFull); // In case that the process ends during its seal.
    const isUnrecorded = await this.#waitUntilExpired(server, seal);
    this.#nextMs[kind] = this.#nowMs + this.#random.uniform(INTERVAL_MS.min, INTERVAL_MS.max);
    if (!isUnrecorded) return endFull();
    trace.note(server.host, "its wall clock jumps at the end of a slow seal");
    server.clock?.jumpWall(WALL_JUMP_MS);
    clock.after(FULL_MS, endFull);
  }

  /** Returns the first chunk of the commit that the server does not have. */
  #sealIn(server: SimulatedChunkserver, changes: readonly StoreChange[]): Seal | undefined {
    for (const change of changes) {
      if (!isRecordChange(change) || change.value === null) continue;
      const chunkId = chunkIdOfKey(change.key);
      if (this.#copies.holds(server, chunkId)) continue;
      return { chunkId, intentIndex: decodeChunkRecord(change.value).intentIndex };
    }
    return undefined;
  }

  /** Returns whether files refer to the chunk, copies are missing and this one is not recorded. */
  #isWanted(server: SimulatedChunkserver, { chunkId }: Seal): boolean {
    const chunk = this.#copies.state()?.chunk(chunkId);
    if (chunk === undefined || chunk.replicas.length >= chunk.copiesWanted) return false;
    const serverId = this.#copies.idOf(server);
    return chunk.replicas.every((replica) => replica.serverId !== serverId);
  }

  /** Resolves when the intent of the seal has expired. @returns whether the copy is wanted then */
  async #waitUntilExpired(server: SimulatedChunkserver, seal: Seal): Promise<boolean> {
    const startMs = this.#nowMs;
    while (this.isActive && this.#nowMs < startMs + SLOW_MS_MAX) {
      await server.clock?.sleep(POLL_MS);
      const state = this.#copies.state();
      const isExpired = state !== null && state.intentFloor() > seal.intentIndex;
      if (isExpired) return this.#isWanted(server, seal);
      const isReferenced = state === null || state.chunk(seal.chunkId) !== undefined;
      if (!isReferenced && this.#nowMs > startMs + UNREFERENCED_MS_MAX) return false;
    }
    return false;
  }
}
