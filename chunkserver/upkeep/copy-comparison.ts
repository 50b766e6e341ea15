import { equalBytes } from "../../shared/base/bytes.ts";
import { isAshlarError } from "../../shared/base/errors.ts";
import type { ChunkId, LogIndex } from "../../shared/base/ids.ts";
import type { Clock } from "../../shared/ports/clock.ts";
import { LOGGED_ITEMS_MAX, type Log } from "../../shared/ports/log.ts";
import type { Random } from "../../shared/ports/random.ts";
import { FIND_COPIES_MAX, findCopies, listCopies } from "../../shared/protocol/fleet-api.ts";
import type { ChunkStore } from "../store/chunk-store.ts";
import type { MasterLink } from "./master-link.ts";

const HOUR_MS = 3_600_000;
/** Time from the end of one pass to the start of the next one. */
const PASS_INTERVAL_MS = 24 * HOUR_MS;
/**
 * Time in which a pass begins once its reason is there. Chunkservers start together, and all of them see a
 * restore or a new intent floor at the same time: each one begins at a random moment of this time.
 */
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

  /** Pause before the next step: at most `MISSED_INTERVAL_MS`, except between two pages. */
  get delayMs(): number {
    const nowMs = this.#deps.clock.monotonicMs();
    if (!this.#canAsk(nowMs)) return MISSED_INTERVAL_MS;
    const isBusy = this.#missing.length > 0 || this.#isInPass;
    if (isBusy) return Math.max(STEP_PAUSE_MS, this.#pauseMs);
    return Math.max(STEP_PAUSE_MS, Math.min(this.#passDueMs, this.#missedDueMs) - nowMs);
  }

  /** Performs the next step: at most one call. */
  async step(signal: AbortSignal): Promise<void> {
    const { store, link, clock } = this.#deps;
    const nowMs = clock.monotonicMs();
    if (!this.#canAsk(nowMs) || link.restoreId === null) return;
    this.#checkMasters(link.restoreId);
    this.#checkFloor();
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

  /** Whether the masters are known and can answer, and the index can be compared. */
  #canAsk(nowMs: number): boolean {
    const { store, link } = this.#deps;
    return link.restoreId !== null && store.failure === null && nowMs >= this.#askAfterMs;
  }

  /** Begins again if the masters were restored from a backup. */
  #checkMasters(restoreId: Uint8Array): void {
    if (this.#restoreId !== null && equalBytes(this.#restoreId, restoreId)) return;
    this.#restoreId = restoreId;
    this.#passDueMs = this.#randomTimeMs();
    this.#isInPass = false;
    this.#mustRepeat = true;
    this.#repeatIndex = null;
  }

  /** Schedules the repeated pass once the floor has passed the index of the first page. */
  #checkFloor(): void {
    if (this.#isInPass || this.#repeatIndex === null) return;
    if ((this.#deps.link.intentFloor ?? 0) <= this.#repeatIndex) return;
    this.#repeatIndex = null;
    this.#passDueMs = Math.min(this.#passDueMs, this.#randomTimeMs());
  }

  /** Returns a monotonic time in the next `SPREAD_MS`. */
  #randomTimeMs(): number {
    const { clock, random } = this.#deps;
    return clock.monotonicMs() + random.fraction() * SPREAD_MS;
  }

  #isPassDue(): boolean {
    if (this.#isInPass) return true;
    if (this.#deps.clock.monotonicMs() < this.#passDueMs) return false;
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
    const lost = await store.noteMissing(copies);
    this.#missing = this.#missing.slice(chunkIds.length);
    if (lost.length > 0) {
      log.warn("The masters record replicas that this server does not have", {
        lostCount: lost.length,
        chunkIds: lost.slice(0, LOGGED_ITEMS_MAX),
      });
    }
  }
}
