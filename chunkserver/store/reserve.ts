import { assert } from "../../shared/base/assert.ts";
import { AshlarError } from "../../shared/base/errors.ts";
import type { ServerId } from "../../shared/base/ids.ts";
import type { Clock } from "../../shared/ports/clock.ts";
import type { Disk, DiskSpace } from "../../shared/ports/disk.ts";
import type { Log, LogFields } from "../../shared/ports/log.ts";

/** Purpose of a claim. Replicas that the master ordered may use half of the reserve. */
export type SpacePurpose = "write" | "copy";

/** Time for which a measured free space is used, in milliseconds. */
const SAMPLE_MS = 200;
/** Time for which a call waits for a new sample, if there is an older one. */
const SAMPLE_WAIT_MS = 1_000;
/**
 * Time in milliseconds for which no chunk is accepted after a write was refused with NO_SPACE, even
 * if the file system reports free bytes: inodes or a quota may be exhausted. After this time a
 * write is tried again.
 */
const REFUSED_MS = 5_000;

/** Space of the disk for new chunks. */
export interface Space {
  readonly totalBytes: number;
  /**
   * Bytes for new chunks: free space less the reserve and less the claims of writes in progress.
   */
  readonly availableBytes: number;
  /** See `DiskSpace`. */
  readonly diskId?: string;
}

interface FreeSpace {
  readonly totalBytes: number;
  readonly diskId?: string;
  /** Bytes without data. Some of them are claimed. */
  readonly unwrittenBytes: number;
  /** Bytes without data and without a claim. */
  readonly freeBytes: number;
}

/**
 * Keeps free space in reserve. So the index can always commit, repairs have room, and a full disk
 * is reported at the start of a write and not in the middle of it. Logs one line when the disk is
 * full and one line when it has room again.
 */
export class Reserve {
  readonly #disk: Disk;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #serverId: ServerId;
  readonly #reserveBytesFor: (totalBytes: number) => number;
  #sample: DiskSpace | null = null;
  #sampledAtMs = 0;
  #sampling: Promise<void> | null = null;
  #writtenSinceSample = 0;
  /** Claimed by writes in progress and not yet written. */
  #claimedBytes = 0;
  /** No claims are accepted until this time, because a write was refused. */
  #refusedUntilMs = 0;
  /** Whether a write was refused with NO_SPACE and no write has succeeded since. */
  #isRoomUnproven = false;
  /** Time at which the disk was last full. Null after it had room again and this was logged. */
  #fullAtMs: number | null = null;

  constructor(options: {
    readonly disk: Disk;
    readonly clock: Clock;
    readonly log: Log;
    readonly serverId: ServerId;
    readonly reserveBytesFor: (totalBytes: number) => number;
  }) {
    this.#disk = options.disk;
    this.#clock = options.clock;
    this.#log = options.log;
    this.#serverId = options.serverId;
    this.#reserveBytesFor = options.reserveBytesFor;
  }

  /**
   * Claims room for `lengthBytes`.
   *
   * @throws {AshlarError} NO_SPACE with the server, the reserve and the free bytes.
   */
  async claim(lengthBytes: number, purpose: SpacePurpose): Promise<SpaceClaim> {
    const { totalBytes, freeBytes } = await this.#free();
    const reserveBytes = this.#reserveBytesFor(totalBytes);
    const keptBytes = purpose === "copy" ? Math.floor(reserveBytes / 2) : reserveBytes;
    const details = { serverId: this.#serverId, reserveBytes: keptBytes, freeBytes };
    if (this.#isRefusing()) {
      throw new AshlarError(
        "NO_SPACE",
        `Cannot store ${lengthBytes} bytes on server ${this.#serverId}: a write found no room some seconds ago: ${freeBytes} bytes are reported free`,
        { hint: "Look at inodes and quotas too: df -i on the server's data directory", details },
      );
    }
    if (freeBytes - lengthBytes < keptBytes) {
      throw new AshlarError(
        "NO_SPACE",
        `Cannot store ${lengthBytes} bytes on server ${this.#serverId}: expected at least ${keptBytes} bytes to stay free: ${freeBytes} are free`,
        {
          hint: "Add chunkservers or disk space, or lower reserveBytes in the server's config",
          details,
        },
      );
    }
    this.#claimedBytes += lengthBytes;
    return new SpaceClaim(lengthBytes, (bytes, isWritten) => {
      this.#claimedBytes -= bytes;
      if (!isWritten) return;
      this.#writtenSinceSample += bytes;
      if (!this.#isRefusing()) this.#isRoomUnproven = false;
    });
  }

  /**
   * Whether the disk is full or was full within the last 5 s, or no write has succeeded since it
   * was full.
   */
  get isFull(): boolean {
    return this.#fullAtMs !== null;
  }

  /** Records that a write or a commit was refused with NO_SPACE. Claims are refused for 5 s. */
  noteFull(error: AshlarError): void {
    this.#refusedUntilMs = this.#clock.monotonicMs() + REFUSED_MS;
    this.#isRoomUnproven = true;
    this.#logFull({ error });
  }

  /** Returns the space for new chunks. Logs when the disk has room again. Called regularly. */
  async space(): Promise<Space> {
    const { totalBytes, freeBytes, unwrittenBytes, ...disk } = await this.#free();
    const reserveBytes = this.#reserveBytesFor(totalBytes);
    const fields = { freeBytes: unwrittenBytes, reserveBytes };
    if (unwrittenBytes <= reserveBytes) this.#logFull(fields);
    else this.#logRoom(fields);
    const availableBytes = this.#isRefusing() ? 0 : Math.max(0, freeBytes - reserveBytes);
    return { totalBytes, availableBytes, ...disk };
  }

  #isRefusing(): boolean {
    return this.#clock.monotonicMs() < this.#refusedUntilMs;
  }

  #logFull(fields: LogFields): void {
    const isKnown = this.#fullAtMs !== null;
    this.#fullAtMs = this.#clock.monotonicMs();
    if (isKnown) return;
    const message = "The disk is full: this server accepts no new chunks until there is room";
    this.#log.warn(message, fields);
  }

  #logRoom(fields: LogFields): void {
    if (this.#fullAtMs === null || this.#isRoomUnproven) return;
    // Limits the log lines of a disk whose free space varies around the reserve.
    if (this.#clock.monotonicMs() - this.#fullAtMs < REFUSED_MS) return;
    this.#fullAtMs = null;
    this.#log.info("The disk has room again", fields);
  }

  async #takeSample(): Promise<void> {
    try {
      this.#sample = await this.#disk.space();
      this.#sampledAtMs = this.#clock.monotonicMs();
      this.#writtenSinceSample = 0;
    } finally {
      this.#sampling = null;
    }
  }

  /** Waits for a new sample. The old one is used if the disk hangs, so that heartbeats continue. */
  async #waitForSample(sampling: Promise<void>): Promise<void> {
    const waiting = new AbortController();
    const { signal } = waiting;
    try {
      await Promise.race([
        sampling.catch(() => {}), // The error of another call of the disk shows the failure.
        this.#clock.sleep(SAMPLE_WAIT_MS, signal).catch(() => {}),
      ]);
    } finally {
      waiting.abort();
    }
  }

  async #free(): Promise<FreeSpace> {
    const nowMs = this.#clock.monotonicMs();
    if (this.#sample === null || nowMs - this.#sampledAtMs > SAMPLE_MS) {
      this.#sampling ??= this.#takeSample();
      if (this.#sample === null) await this.#sampling;
      else await this.#waitForSample(this.#sampling);
    }
    assert(this.#sample !== null, "a sample was taken");
    const { totalBytes, availableBytes, ...disk } = this.#sample;
    const unwrittenBytes = availableBytes - this.#writtenSinceSample;
    const freeBytes = Math.max(0, unwrittenBytes - this.#claimedBytes);
    return { totalBytes, freeBytes, unwrittenBytes: Math.max(0, unwrittenBytes), ...disk };
  }
}

/** Room claimed by one write. */
export class SpaceClaim {
  readonly #settle: (bytes: number, isWritten: boolean) => void;
  #remainingBytes: number;

  constructor(lengthBytes: number, settle: (bytes: number, isWritten: boolean) => void) {
    assert(lengthBytes >= 0, "a claim is not negative");
    this.#remainingBytes = lengthBytes;
    this.#settle = settle;
  }

  /** Records that `bytes` of the claim are on the file system. */
  markWritten(bytes: number): void {
    const settled = Math.min(bytes, this.#remainingBytes);
    this.#remainingBytes -= settled;
    this.#settle(settled, true);
  }

  /** Releases the rest of the claim. */
  release(): void {
    this.#settle(this.#remainingBytes, false);
    this.#remainingBytes = 0;
  }
}
