import { assert } from "../../shared/base/assert.ts";
import { AshlarError } from "../../shared/base/errors.ts";
import type { ServerId } from "../../shared/base/ids.ts";
import type { Clock } from "../../shared/ports/clock.ts";
import type { Disk } from "../../shared/ports/disk.ts";

/** What the bytes are for. Copies that the master ordered may use half of the reserve. */
export type SpacePurpose = "write" | "copy";

/** How long one look at the file system serves. */
const SAMPLE_MS = 200;

export interface Space {
  readonly totalBytes: number;
  /** What new chunks may still take: free space less the reserve, and less what was promised. */
  readonly availableBytes: number;
}

/**
 * Keeps free space back, so that the index can always commit, repairs have room, and a full disk
 * shows as a clear refusal at the start of a write and not as a failure in its middle.
 */
export class Reserve {
  readonly #disk: Disk;
  readonly #clock: Clock;
  readonly #serverId: ServerId;
  readonly #reserveBytesFor: (totalBytes: number) => number;
  #sample: { readonly totalBytes: number; readonly availableBytes: number } | null = null;
  #sampledAtMs = 0;
  #writtenSinceSample = 0;
  /** Promised to writes under way and not yet written. */
  #promisedBytes = 0;

  constructor(options: {
    readonly disk: Disk;
    readonly clock: Clock;
    readonly serverId: ServerId;
    readonly reserveBytesFor: (totalBytes: number) => number;
  }) {
    this.#disk = options.disk;
    this.#clock = options.clock;
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
    if (freeBytes - lengthBytes < keptBytes) {
      throw new AshlarError(
        "NO_SPACE",
        `Cannot store ${lengthBytes} bytes on server ${this.#serverId}: expected at least ${keptBytes} bytes to stay free: ${freeBytes} are free`,
        {
          hint: "Add chunkservers or disk space, or lower reserveBytes in the server's config",
          details: { serverId: this.#serverId, reserveBytes: keptBytes, freeBytes },
        },
      );
    }
    this.#promisedBytes += lengthBytes;
    return new SpaceClaim(lengthBytes, (bytes, isWritten) => {
      this.#promisedBytes -= bytes;
      if (isWritten) this.#writtenSinceSample += bytes;
    });
  }

  async space(): Promise<Space> {
    const { totalBytes, freeBytes } = await this.#free();
    const availableBytes = Math.max(0, freeBytes - this.#reserveBytesFor(totalBytes));
    return { totalBytes, availableBytes };
  }

  async #free(): Promise<{ readonly totalBytes: number; readonly freeBytes: number }> {
    const nowMs = this.#clock.monotonicMs();
    if (this.#sample === null || nowMs - this.#sampledAtMs > SAMPLE_MS) {
      this.#sampledAtMs = nowMs;
      this.#sample = await this.#disk.space();
      this.#writtenSinceSample = 0;
    }
    const { totalBytes, availableBytes } = this.#sample;
    const freeBytes = availableBytes - this.#writtenSinceSample - this.#promisedBytes;
    return { totalBytes, freeBytes: Math.max(0, freeBytes) };
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
