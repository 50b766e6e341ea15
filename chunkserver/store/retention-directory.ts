import type { Clock } from "../../shared/ports/clock.ts";
import type { Disk } from "../../shared/ports/disk.ts";
import { CoalescedSync } from "./coalesced-sync.ts";

const NAME = /^(\d{13,15})-(.+)$/;

/** Dependencies and limits of a `RetentionDirectory`. */
export interface RetentionDirectoryOptions {
  readonly disk: Disk;
  readonly clock: Clock;
  /** The directory, relative to the data directory. */
  readonly path: string;
  /** Maximum number of files. The oldest files are deleted first. */
  readonly filesMax: number;
  /** Age at which a file is deleted, in milliseconds. */
  readonly keepMs: number;
}

/**
 * A directory of files that are no longer part of the store and are kept for inspection: corrupt
 * replicas (`quarantine/`) and extent files left over by a crash (`garbage/`). The number and the
 * age of the files are bounded.
 *
 * A file name starts with the wall-clock time in milliseconds at which the file was added.
 */
export class RetentionDirectory {
  readonly #options: RetentionDirectoryOptions;
  readonly #directorySync: CoalescedSync;

  constructor(options: RetentionDirectoryOptions) {
    this.#options = options;
    this.#directorySync = new CoalescedSync(() => options.disk.syncDirectory(options.path));
  }

  /** Creates the directory if it does not exist. */
  async prepare(): Promise<void> {
    await this.#options.disk.makeDirectory(this.#options.path);
  }

  /** Returns the path for a file that is added now. */
  pathFor(label: string): string {
    const nowMs = Math.floor(this.#options.clock.wallMs());
    return `${this.#options.path}/${String(nowMs).padStart(13, "0")}-${label}`;
  }

  /** Makes the names in the directory durable (fsync of the directory). */
  async sync(): Promise<void> {
    await this.#directorySync.run();
  }

  /** Adds a file with the content `bytes`. Durable when it resolves. */
  async add(label: string, bytes: Uint8Array): Promise<void> {
    await this.#options.disk.writeFileDurably(this.pathFor(label), bytes);
  }

  /**
   * Deletes files that are too old, and the oldest files above the limit. Deletes all files if
   * `mode` is "all", which is used when the disk is full. Resolves with the number of deleted
   * files.
   */
  async sweep(mode: "expired" | "all"): Promise<number> {
    const { disk, clock, path, filesMax, keepMs } = this.#options;
    const names = (await disk.list(path)).map((entry) => entry.name);
    const oldestKept = clock.wallMs() - keepMs;
    const surplus = mode === "all" ? names.length : Math.max(0, names.length - filesMax);
    let removed = 0;
    for (const [position, name] of names.entries()) {
      const addedAtMs = Number(NAME.exec(name)?.[1] ?? 0);
      if (position >= surplus && addedAtMs >= oldestKept) continue;
      await disk.remove(`${path}/${name}`);
      removed += 1;
    }
    return removed;
  }
}
