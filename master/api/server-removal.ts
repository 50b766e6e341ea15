import { AshlarError } from "../../shared/base/errors.ts";
import type { ChunkId, ServerId } from "../../shared/base/ids.ts";
import type { Clock } from "../../shared/ports/clock.ts";

/** A removal whose caller is silent for this long has ended. */
const SILENCE_MS_MAX = 30_000;
/** A check that starts again so often ends with an error. */
const RESTARTS_MAX = 20;

/** The check of the chunks of a server before its removal. */
export interface RemovalCheck {
  readonly serverId: ServerId;
  readonly isForced: boolean;
  readonly term: number;
  /** The last chunk that was checked. Null at the start. */
  checkedTo: ChunkId | null;
  /** Chunks found so far that lack copies elsewhere. */
  missingCount: number;
  /** The servers whose copies were counted. */
  readonly countedServers: Set<ServerId>;
  /** Drops of copies that had begun when the check started; null if one was in progress. */
  dropsBefore: number | null;
  restartCount: number;
  activeMs: number;
}

/** Identifies a check in a call. */
export type RemovalCall = Pick<RemovalCheck, "serverId" | "isForced" | "checkedTo" | "term">;

/**
 * The removal of a chunkserver that is in progress. One at a time, because each counts on the copies of the
 * other servers. Soft state of the leader.
 *
 * A check reads the chunks in many steps. It holds only if the copies that it counted are still there at its end:
 * the servers are alive, and no entry in between drops a copy (`whileDropping`). All such entries come from this
 * leader, and those of earlier leaders are applied before it serves. So a removal that is proposed in the turn of
 * `holds` precedes every later drop in the log.
 */
export class ServerRemoval {
  readonly #clock: Clock;
  #check: RemovalCheck | null = null;
  #dropsBegun = 0;
  #dropsInProgress = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /**
   * Returns the check that the call continues, or a new one.
   *
   * @throws {AshlarError} CHANGE_UNDER_WAY while another server is removed; UNAVAILABLE if the check did not hold
   *   again and again
   */
  continue(call: RemovalCall): RemovalCheck {
    const nowMs = this.#clock.monotonicMs();
    const { serverId, isForced, term, checkedTo } = call;
    let check = this.#current(nowMs, term);
    if (check !== null && check.serverId !== serverId) throw otherRemoval(serverId, check.serverId);
    if (check === null || check.isForced !== isForced || check.checkedTo !== checkedTo) {
      check = {
        ...{ serverId, isForced, term, checkedTo: null, missingCount: 0 },
        ...{ countedServers: new Set(), dropsBefore: this.#drops(), activeMs: nowMs },
        restartCount: check?.restartCount ?? 0,
      };
    }
    check.activeMs = nowMs;
    this.#check = check;
    return check;
  }

  /** Returns whether what the check found still holds. */
  holds(check: RemovalCheck, isCertain: (serverId: ServerId) => boolean): boolean {
    if (check.dropsBefore === null || check.dropsBefore !== this.#drops()) return false;
    return [...check.countedServers].every(isCertain);
  }

  /** Starts a check again that does not hold. @throws {AshlarError} UNAVAILABLE after RESTARTS_MAX */
  restart(check: RemovalCheck): void {
    check.checkedTo = null;
    check.missingCount = 0;
    check.countedServers.clear();
    check.dropsBefore = this.#drops();
    check.restartCount += 1;
    if (check.restartCount < RESTARTS_MAX) return;
    this.end(check);
    throw new AshlarError(
      "UNAVAILABLE",
      `Cannot remove chunkserver ${check.serverId}: expected copies that stay while they are checked: other servers fail or lose copies`,
      { hint: "ashlar status: repeat the command when the other chunkservers are live" },
    );
  }

  end(check: RemovalCheck): void {
    if (this.#check === check) this.#check = null;
  }

  /** Runs a task that proposes entries that drop copies. */
  async whileDropping<Result>(task: () => Promise<Result>): Promise<Result> {
    this.#dropsBegun += 1;
    this.#dropsInProgress += 1;
    try {
      return await task();
    } finally {
      this.#dropsInProgress -= 1;
    }
  }

  /** Returns the number of drops that have begun, null while one is in progress. */
  #drops(): number | null {
    return this.#dropsInProgress > 0 ? null : this.#dropsBegun;
  }

  #current(nowMs: number, term: number): RemovalCheck | null {
    const check = this.#check;
    if (check === null || check.term !== term) return null;
    return nowMs - check.activeMs < SILENCE_MS_MAX ? check : null;
  }
}

function otherRemoval(serverId: ServerId, current: ServerId): AshlarError {
  return new AshlarError(
    "CHANGE_UNDER_WAY",
    `Cannot remove chunkserver ${serverId}: expected no other removal: ${current} is being removed, and the copies of both may be the last ones`,
    { hint: "Repeat the command when that removal has ended" },
  );
}
