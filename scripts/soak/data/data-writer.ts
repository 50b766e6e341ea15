import { randomInt } from "node:crypto";
import type { FileSystem } from "../../../client/file-system.ts";
import { isAshlarError } from "../../../shared/base/errors.ts";
import type { Journal } from "../journal.ts";
import { fillContent, sizeOf } from "./stamped-content.ts";
import { TrackedFile } from "./tracked-file.ts";
import type { Transfers } from "./transfers.ts";

/** Time for which the cluster keeps replaced content. Longer than a paused read. */
export const HISTORY_RETENTION_MS = 30_000;
const FILES_PER_WRITER = 3;
/** One of so many writes is aborted. */
const ABORTED_OF = 8;

/** Numbers of the clients of one run. */
export interface DataCounts {
  written: number;
  aborted: number;
  writtenBytes: number;
  read: number;
  /** Reads that paused in the middle. */
  paused: number;
  /** Reads that ended before the end of the file. */
  left: number;
  /** Reads that took longer than the history keeps replaced content, and failed for that reason. */
  expired: number;
  readBytes: number;
}

/** Dependencies of the writers and readers. */
export interface DataDeps {
  readonly fileSystem: FileSystem;
  readonly journal: Journal;
  readonly transfers: Transfers;
  readonly counts: DataCounts;
}

/** Replaces its files again and again, and aborts some of the writes. */
export class DataWriter {
  readonly files: readonly TrackedFile[];
  readonly #deps: DataDeps;
  readonly #name: string;
  readonly #nextStamp: () => number;

  /** @param nextStamp returns a stamp that no write has */
  constructor(deps: DataDeps, number: number, nextStamp: () => number) {
    this.#deps = deps;
    this.#name = `writer ${number}`;
    this.#nextStamp = nextStamp;
    this.files = Array.from(
      { length: FILES_PER_WRITER },
      (_, index) => new TrackedFile(`/data/${number}-${index}`),
    );
  }

  /** Writes one file. Errors are violations. */
  async step(): Promise<void> {
    const file = this.files[randomInt(this.files.length)] as TrackedFile;
    const stamp = this.#nextStamp();
    const sizeBytes = sizeOf(stamp);
    const stop = new AbortController();
    const abortAtBytes = randomInt(ABORTED_OF) === 0 ? randomInt(sizeBytes) : Number.NaN;
    file.start(stamp);
    const transfer = this.#deps.transfers.begin(`${this.#name}, stamp ${stamp}`);
    try {
      await this.#deps.fileSystem.writeFile(
        file.path,
        { fill: fillerOf(stamp, sizeBytes, (at) => at >= abortAtBytes && stop.abort()) },
        {
          replace: true,
          signal: stop.signal,
          onProgress: (bytes) => transfer.progress(bytes),
        },
      );
      file.acknowledge(stamp);
      this.#deps.counts.written += 1;
      this.#deps.counts.writtenBytes += sizeBytes;
    } catch (error) {
      if (stop.signal.aborted && isAshlarError(error, "CANCELLED")) this.#deps.counts.aborted += 1;
      else
        this.#deps.journal.violation(
          `${transfer.name} (${sizeBytes} bytes) failed: ${textOf(error)}`,
        );
    } finally {
      transfer.end();
    }
  }
}

/** Returns a source of the content of `stamp`. `onFilled` is called with the number of bytes so far. */
function fillerOf(
  stamp: number,
  sizeBytes: number,
  onFilled: (bytes: number) => void,
): (target: Uint8Array) => Promise<number> {
  let at = 0;
  return async (target) => {
    const piece = target.subarray(0, sizeBytes - at);
    fillContent(stamp, at, piece);
    at += piece.length;
    onFilled(at);
    return piece.length;
  };
}

/** Returns the code and the message of an error. */
export function textOf(error: unknown): string {
  if (isAshlarError(error)) return `${error.code}: ${error.message}`;
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
