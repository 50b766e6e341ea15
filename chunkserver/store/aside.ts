import type { Clock } from "../../shared/ports/clock.ts";
import type { Disk } from "../../shared/ports/disk.ts";
import { Coalesced } from "./coalesced.ts";

const NAME = /^(\d{13,15})-(.+)$/;

export interface AsideOptions {
  readonly disk: Disk;
  readonly clock: Clock;
  /** The directory, relative to the data directory. */
  readonly path: string;
  /** The oldest files go first when there are more. */
  readonly filesMax: number;
  /** Files are deleted so long after they were put aside. */
  readonly keepMs: number;
}

/**
 * A directory for bytes that no longer count and that somebody may want to see: copies that turned
 * out rotten (`quarantine`), extents that a crash left over (`garbage`). Bounded in number and age.
 *
 * A file's name begins with the wall-clock time in milliseconds at which it was put here.
 */
export class Aside {
  readonly #options: AsideOptions;
  readonly #directorySync: Coalesced;

  constructor(options: AsideOptions) {
    this.#options = options;
    this.#directorySync = new Coalesced(() => options.disk.syncDirectory(options.path));
  }

  async prepare(): Promise<void> {
    await this.#options.disk.makeDirectory(this.#options.path);
  }

  /** A path in the directory for a file that is put aside now. */
  pathFor(label: string): string {
    const nowMs = Math.floor(this.#options.clock.wallMs());
    return `${this.#options.path}/${String(nowMs).padStart(13, "0")}-${label}`;
  }

  /** Makes names in the directory durable. */
  async sync(): Promise<void> {
    await this.#directorySync.run();
  }

  /** Keeps `bytes` aside. */
  async put(label: string, bytes: Uint8Array): Promise<void> {
    await this.#options.disk.writeFileDurably(this.pathFor(label), bytes);
  }

  /** Deletes what is too old or too much; all of it if `isPressed`, for want of space. */
  async sweep(isPressed: "pressed" | "relaxed"): Promise<number> {
    const { disk, clock, path, filesMax, keepMs } = this.#options;
    const names = (await disk.list(path)).map((entry) => entry.name);
    const oldestKept = clock.wallMs() - keepMs;
    const surplus = isPressed === "pressed" ? names.length : Math.max(0, names.length - filesMax);
    let removed = 0;
    for (const [position, name] of names.entries()) {
      const putAtMs = Number(NAME.exec(name)?.[1] ?? 0);
      if (position >= surplus && putAtMs >= oldestKept) continue;
      await disk.remove(`${path}/${name}`);
      removed += 1;
    }
    return removed;
  }
}
