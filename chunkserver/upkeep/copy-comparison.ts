import { equalBytes } from "../../shared/base/bytes.ts";
import { isAshlarError } from "../../shared/base/errors.ts";
import type { ChunkId, LogIndex } from "../../shared/base/ids.ts";
import type { Clock } from "../../shared/ports/clock.ts";
import type { Log } from "../../shared/ports/log.ts";
import type { Random } from "../../shared/ports/random.ts";
import { FIND_COPIES_MAX, findCopies, listCopies } from "../../shared/protocol/fleet-api.ts";
import type { ChunkStore } from "../store/chunk-store.ts";
import type { MasterLink } from "./master-link.ts";

const HOUR_MS = 3_600_000;
/** Time from the end of one pass to the start of the next one. */
const PASS_INTERVAL_MS = 24 * HOUR_MS;
/** All chunkservers may start together: the first pass begins within this time. */
const SPREAD_MS = 10_000;
/** Pause between two steps of a pass. Each is one turn of the leader. */
const STEP_PAUSE_MS = 200;
/** Interval at which the masters are asked about chunks that were requested and not found. */
const MISSED_INTERVAL_MS = 5_000;
/** Time after which a leader of a version without these calls is asked again. */
const UNSUPPORTED_MS = HOUR_MS;

/** Dependencies of `CopyComparison`. */
export interface CopyComparisonDeps {
  readonly store: ChunkStore;
  readonly link: Pick<MasterLink, "call" | "restoreId" | "intentFloor">;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/**
 * Compares the copies that the masters record on this server with its index, and notes the loss of those
 * that the index does not have. The index may be from an older image of the disk.
 *
 * A pass over all copies runs after the start of the process and after a restore of the masters, and once
 * more when no commit can succeed with a receipt from before that pass; then once a day. Chunks that were
 * requested and not found are compared within seconds.
 */
export class CopyComparison {
  readonly #deps: CopyComparisonDeps;
  /** The masters whose copies are compared: see `MasterLink.restoreId`. */
  #restoreId: Uint8Array | null = null;
  /** Monotonic time at which the next pass begins. */
  #passDueMs = Number.POSITIVE_INFINITY;
  #isInPass = false;
  /** The last chunk that the pass has compared. */
  #comparedTo: ChunkId | null = null;
  /** Whether another pass must follow when the intents that exist now have expired. */
  #mustRepeat = false;
  /** Index of the state at the first page of the pass that must be repeated. */
  #repeatIndex: LogIndex | null = null;
  /** Chunks without a record: the masters are asked for the intents of their copies. */
  #missing: readonly ChunkId[] = [];
  #missedDueMs = 0;
  #askAfterMs = 0;
  #pauseMs = 0;

  constructor(deps: CopyComparisonDeps) {
    this.#deps = deps;
  }

  /** Pause before the next step. */
  get delayMs(): number {
    const isBusy = this.#missing.length > 0 || this.#isInPass;
    return isBusy ? Math.max(STEP_PAUSE_MS, this.#pauseMs) : MISSED_INTERVAL_MS;
  }

  /** Performs the next step: at most one call. */
  async step(signal: AbortSignal): Promise<void> {
    const { store, link, clock } = this.#deps;
    const nowMs = clock.monotonicMs();
    if (link.restoreId === null || store.failure !== null || nowMs < this.#askAfterMs) return;
    this.#checkMasters(link.restoreId);
    if (nowMs >= this.#missedDueMs && this.#missing.length === 0) {
      this.#missedDueMs = nowMs + MISSED_INTERVAL_MS;
      this.#missing = store.takeMissed();
    }
    try {
      if (this.#missing.length > 0) await this.#findMissing(signal);
      else if (this.#isPassDue()) await this.#comparePage(signal);
    } catch (error) {
      if (!isAshlarError(error, "UNSUPPORTED")) throw error;
      this.#askAfterMs = nowMs + UNSUPPORTED_MS;
      this.#missing = [];
    }
  }

  /** Begins again if the masters were restored from a backup. */
  #checkMasters(restoreId: Uint8Array): void {
    if (this.#restoreId !== null && equalBytes(this.#restoreId, restoreId)) return;
    const { clock, random } = this.#deps;
    this.#restoreId = restoreId;
    this.#passDueMs = clock.monotonicMs() + random.fraction() * SPREAD_MS;
    this.#isInPass = false;
    this.#mustRepeat = true;
    this.#repeatIndex = null;
  }

  #isPassDue(): boolean {
    if (this.#isInPass) return true;
    const { intentFloor } = this.#deps.link;
    const isRepeated = this.#repeatIndex !== null && (intentFloor ?? 0) > this.#repeatIndex;
    if (!isRepeated && this.#deps.clock.monotonicMs() < this.#passDueMs) return false;
    if (isRepeated) this.#repeatIndex = null;
    this.#isInPass = true;
    this.#comparedTo = null;
    return true;
  }

  async #comparePage(signal: AbortSignal): Promise<void> {
    const { store, link, clock } = this.#deps;
    const after = this.#comparedTo;
    const request = { serverId: store.serverId, after };
    const page = await link.call(listCopies, request, signal);
    if (this.#mustRepeat) {
      this.#repeatIndex = page.index;
      this.#mustRepeat = false;
    }
    const { missing, comparedTo } = await store.compareCopies({ ...page, after });
    this.#missing = missing;
    this.#pauseMs = page.pauseMs;
    this.#comparedTo = comparedTo;
    if (comparedTo !== null) return;
    this.#isInPass = false;
    this.#passDueMs = clock.monotonicMs() + PASS_INTERVAL_MS;
  }

  async #findMissing(signal: AbortSignal): Promise<void> {
    const { store, link, log } = this.#deps;
    const chunkIds = this.#missing.slice(0, FIND_COPIES_MAX);
    const { copies } = await link.call(findCopies, { serverId: store.serverId, chunkIds }, signal);
    const lostCount = await store.noteMissing(copies);
    this.#missing = this.#missing.slice(chunkIds.length);
    if (lostCount > 0) {
      log.warn("The masters record replicas that this server does not have", { lostCount });
    }
  }
}
