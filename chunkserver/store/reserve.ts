import { assert } from "../../shared/base/assert.ts";
import { AshlarError } from "../../shared/base/errors.ts";
import type { ServerId } from "../../shared/base/ids.ts";
import type { Clock } from "../../shared/ports/clock.ts";
import type { Disk } from "../../shared/ports/disk.ts";
import type { Log, LogFields } from "../../shared/ports/log.ts";

/** What the bytes are for. Copies that the master ordered may use half of the reserve. */
export type SpacePurpose = "write" | "copy";

/** How long one look at the file system serves. */
const SAMPLE_MS = 200;
/**
 * After a write found no room, no chunk is begun for so long, whatever the file system says is free:
 * it may be inodes or a quota that are used up. Then a write tries whether there is room again.
 */
const REFUSED_MS = 5_000;

export interface Space {
  readonly totalBytes: number;
  /** What new chunks may still take: free space less the reserve, and less what was promised. */
  readonly availableBytes: number;
}

interface FreeSpace {
  readonly totalBytes: number;
  /** What nobody has written to: some of it is promised. */
  readonly unwrittenBytes: number;
  /** What is not promised either. */
  readonly freeBytes: number;
}

/**
 * Keeps free space back, so that the index can always commit, repairs have room, and a full disk
 * shows as a clear refusal at the start of a write and not as a failure in its middle. Logs when the
 * disk is full and when it has room again, each once.
 */
export class Reserve {
  readonly #disk: Disk;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #serverId: ServerId;
  readonly #reserveBytesFor: (totalBytes: number) => number;
  #sample: { readonly totalBytes: number; readonly availableBytes: number } | null = null;
  #sampledAtMs = 0;
  #writtenSinceSample = 0;
  /** Promised to writes under way and not yet written. */
  #promisedBytes = 0;
  /** Until then nothing is promised, for a write found no room. */
  #refusedUntilMs = 0;
  /** A write found no room, and none has found any since. */
  #isRoomUnproven = false;
  /** When the disk was last seen to be full; null: it has room, or that it has was logged. */
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
   * Promises room for `lengthBytes`.
   *
   * @throws {AshlarError} NO_SPACE naming the server, the threshold and what is there.
   */
  async claim(lengthBytes: number, purpose: SpacePurpose): Promise<SpaceClaim> {
    const { totalBytes, freeBytes } = await this.#free();
    const reserveBytes = this.#reserveBytesFor(totalBytes);
    const keptBytes = purpose === "copy" ? Math.floor(reserveBytes / 2) : reserveBytes;
    const details = { serverId: this.#serverId, reserveBytes: keptBytes, freeBytes };
    if (this.#isRefusing()) {
      throw new AshlarError(
        "NO_SPACE",
        `Cannot store ${lengthBytes} bytes on server ${this.#serverId}: a write found no room some seconds ago: ${freeBytes} bytes are said to be free`,
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
    this.#promisedBytes += lengthBytes;
    return new SpaceClaim(lengthBytes, (bytes, isWritten) => {
      this.#promisedBytes -= bytes;
      if (!isWritten) return;
      this.#writtenSinceSample += bytes;
      if (!this.#isRefusing()) this.#isRoomUnproven = false;
    });
  }

  /** The disk is full, was within the last 5 s, or no write has found room since. */
  get isFull(): boolean {
    return this.#fullAtMs !== null;
  }

  /** A write or a commit failed with `error`, for there was no room: none is offered for 5 s. */
  noteFull(error: AshlarError): void {
    this.#refusedUntilMs = this.#clock.monotonicMs() + REFUSED_MS;
    this.#isRoomUnproven = true;
    this.#sayFull({ error });
  }

  /** Looked at again and again while the server runs: this is where it is seen that there is room. */
  async space(): Promise<Space> {
    const { totalBytes, freeBytes, unwrittenBytes } = await this.#free();
    const reserveBytes = this.#reserveBytesFor(totalBytes);
    const fields = { freeBytes: unwrittenBytes, reserveBytes };
    if (unwrittenBytes <= reserveBytes) this.#sayFull(fields);
    else this.#sayRoom(fields);
    const availableBytes = this.#isRefusing() ? 0 : Math.max(0, freeBytes - reserveBytes);
    return { totalBytes, availableBytes };
  }

  #isRefusing(): boolean {
    return this.#clock.monotonicMs() < this.#refusedUntilMs;
  }

  #sayFull(fields: LogFields): void {
    const isKnown = this.#fullAtMs !== null;
    this.#fullAtMs = this.#clock.monotonicMs();
    if (isKnown) return;
    const message = "The disk is full: this server takes no new chunks until there is room";
    this.#log.warn(message, fields);
  }

  #sayRoom(fields: LogFields): void {
    if (this.#fullAtMs === null || this.#isRoomUnproven) return;
    // A disk on the brink must not fill the log.
    if (this.#clock.monotonicMs() - this.#fullAtMs < REFUSED_MS) return;
    this.#fullAtMs = null;
    this.#log.info("The disk has room again", fields);
  }

  async #free(): Promise<FreeSpace> {
    const nowMs = this.#clock.monotonicMs();
    if (this.#sample === null || nowMs - this.#sampledAtMs > SAMPLE_MS) {
      this.#sampledAtMs = nowMs;
      this.#sample = await this.#disk.space();
      this.#writtenSinceSample = 0;
    }
    const { totalBytes, availableBytes } = this.#sample;
    const unwrittenBytes = availableBytes - this.#writtenSinceSample;
    const freeBytes = Math.max(0, unwrittenBytes - this.#promisedBytes);
    return { totalBytes, freeBytes, unwrittenBytes: Math.max(0, unwrittenBytes) };
  }
}

/** Room promised to one write. */
export class SpaceClaim {
  readonly #settle: (bytes: number, isWritten: boolean) => void;
  #remainingBytes: number;

  constructor(lengthBytes: number, settle: (bytes: number, isWritten: boolean) => void) {
    assert(lengthBytes >= 0, "a claim is not negative");
    this.#remainingBytes = lengthBytes;
    this.#settle = settle;
  }

  /** `bytes` of the promise are on the file system now. */
  written(bytes: number): void {
    const settled = Math.min(bytes, this.#remainingBytes);
    this.#remainingBytes -= settled;
    this.#settle(settled, true);
  }

  /** Gives the rest of the promise back. */
  release(): void {
    this.#settle(this.#remainingBytes, false);
    this.#remainingBytes = 0;
  }
}
