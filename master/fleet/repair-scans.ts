import type { ChunkId, ServerId } from "../../shared/base/ids.ts";
import type { RepairState } from "../fleet-view.ts";
import type { DangerClass } from "../placement/classify-chunk.ts";
import { RepairScan } from "./repair-scan.ts";
import type { WaitingChunks } from "./waiting-chunks.ts";

/** Work of one step. */
interface ScanStep {
  /** Maximum number of chunks. */
  readonly limit: number;
  readonly nowMs: number;
  readonly waiting: WaitingChunks;
  readonly visit: (chunkId: ChunkId, scan: RepairScan) => void;
}

/** The scans of the unavailable servers, and that of the under-replicated chunks. */
export class RepairScans {
  #underReplicated = new RepairScan(null);
  readonly #servers = new Map<ServerId, RepairScan>();
  /** Number of steps. Each step starts with another scan. */
  #steps = 0;

  reset(): void {
    this.#underReplicated = new RepairScan(null);
    this.#servers.clear();
  }

  /**
   * Starts the scans of newly unavailable servers and ends those of the others. After the return of a
   * server, chunks that it shares with other unavailable servers can have another class, so their
   * scans repeat.
   */
  update(unavailable: readonly ServerId[]): void {
    const ids = new Set(unavailable);
    for (const serverId of this.#servers.keys()) {
      if (ids.has(serverId)) continue;
      this.#servers.delete(serverId);
      this.requestRepeat();
    }
    for (const serverId of ids) {
      if (!this.#servers.has(serverId)) this.#servers.set(serverId, new RepairScan(serverId));
    }
  }

  /** Requests a full pass of every scan. */
  requestRepeat(): void {
    for (const scan of this.#all()) scan.requestRepeat();
  }

  /** Returns the scan of an unavailable server. */
  of(serverId: ServerId): RepairScan | undefined {
    return this.#servers.get(serverId);
  }

  /** Returns the scan that counts a chunk: that of its first missing server. */
  ownerOf(firstMissing: ServerId | null): RepairScan {
    const scan = firstMissing === null ? undefined : this.#servers.get(firstMissing);
    return scan ?? this.#underReplicated;
  }

  /** Whether a pass is not at its end. */
  get isRunning(): boolean {
    return this.#all().some((scan) => scan.isRunning);
  }

  hasSkipped(dangerClass: DangerClass): boolean {
    return this.#all().some((scan) => scan.hasSkipped(dangerClass));
  }

  get skippedCount(): number {
    return this.#all().reduce((sum, scan) => sum + scan.skippedCount, 0);
  }

  get unreadableSkippedCount(): number {
    return this.#all().reduce((sum, scan) => sum + scan.unreadableSkippedCount, 0);
  }

  /**
   * Visits at most `limit` chunks. Divides them among the scans that have work.
   *
   * @returns the number of chunks
   */
  run(state: RepairState, { limit, nowMs, waiting, visit }: ScanStep): number {
    const active = this.#all().filter((scan) => scan.hasWork(nowMs, waiting));
    this.#steps += 1;
    let left = limit;
    for (let count = 0; count < active.length && left > 0; count += 1) {
      const scan = active[(count + this.#steps) % active.length] as RepairScan;
      const share = Math.ceil(left / (active.length - count));
      left -= scan.readPage(state, { limit: share, nowMs }, (id) => visit(id, scan));
    }
    return limit - left;
  }

  #all(): RepairScan[] {
    return [this.#underReplicated, ...this.#servers.values()];
  }
}
