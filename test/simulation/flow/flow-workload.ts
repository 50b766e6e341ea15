import type { FileSystem } from "../../../client/file-system.ts";
import { ContentCheck, fillContent } from "../../../scripts/soak/data/stamped-content.ts";
import { checkSize, TrackedFile } from "../../../scripts/soak/data/tracked-file.ts";
import type { Transfer, TransferWatch } from "../../../scripts/soak/data/transfer-watch.ts";
import { isAshlarError } from "../../../shared/base/errors.ts";
import type { ProcessRun } from "../cluster/simulated-process.ts";
import type { SimulationEnvironment } from "../cluster/simulation-environment.ts";
import type { SimulationRandom } from "../cluster/simulation-random.ts";
import { Violation } from "../cluster/violation.ts";

const KIB = 1024;
const MIB = 1024 * KIB;
const CHUNK_BYTES = MIB;
/** One of so many writes is aborted, and one of so many has a source that pauses. */
const ABORTED_OF = 8;
const SLOW_SOURCE_OF = 8;
const PAUSED_READER_OF = 4;
const PAUSE_MS = { min: 500, max: 8_000 };
const THINK_MS = { min: 1, max: 2_000 };
/** Longest time of a write or read, with all waits. */
const TIMEOUT_MS = 300_000;

interface Caller {
  readonly fs: FileSystem;
  readonly host: string;
}

/** A client and the files that its writers own. */
export interface FlowClient extends Caller {
  readonly first: number;
  readonly count: number;
}

/** Numbers of a run. */
export interface FlowCounts {
  written: number;
  aborted: number;
  read: number;
  /** Readers that paused or ended before the end of the file. */
  paused: number;
  left: number;
}

/** Writers and readers of many files, each of whose bytes are checked. */
export class FlowWorkload {
  readonly counts: FlowCounts = { written: 0, aborted: 0, read: 0, paused: 0, left: 0 };
  hasEnded = false;
  readonly #environment: SimulationEnvironment;
  readonly #watch: TransferWatch;
  readonly #random: SimulationRandom;
  readonly #files: TrackedFile[];
  #value = 0;

  constructor(environment: SimulationEnvironment, watch: TransferWatch, fileCount: number) {
    this.#environment = environment;
    this.#watch = watch;
    this.#random = environment.randomFor("flow workload");
    this.#files = Array.from({ length: fileCount }, (_, number) => new TrackedFile(`/f${number}`));
  }

  /** Starts the callers of one run of a client. Each writer owns some of the files. */
  start(run: ProcessRun, client: FlowClient): void {
    const { fs, host, first, count } = client;
    for (const file of this.#files.slice(first, first + count)) {
      this.#loop(run, () => this.#write(run, { fs, host }, file));
      this.#loop(run, () => this.#read(run, { fs, host }));
    }
  }

  /** Ends the transfers of a client that was killed. Its last writes may have been committed. */
  forget(host: string): void {
    this.#watch.endAllOf(host);
  }

  #loop(run: ProcessRun, step: () => Promise<void>): void {
    const work = async (): Promise<void> => {
      while (!this.hasEnded) {
        await run.clock.sleep(this.#random.logUniform(THINK_MS.min, THINK_MS.max));
        if (!this.hasEnded) await step();
      }
    };
    work().catch((error: unknown) => {
      const text = error instanceof Error ? error.message : String(error);
      this.#environment.reportViolation(new Violation(`Unexpected: ${text}`, [], { cause: error }));
    });
  }

  async #write(run: ProcessRun, { fs, host }: Caller, file: TrackedFile): Promise<void> {
    this.#value += 1;
    const value = this.#value;
    const sizeBytes = sizeOf(value);
    const stop = new AbortController();
    const isAborted = this.#random.integer(ABORTED_OF) === 0;
    const abortAtBytes = isAborted ? this.#random.integer(sizeBytes) : Number.POSITIVE_INFINITY;
    const pauseMs =
      this.#random.integer(SLOW_SOURCE_OF) === 0
        ? this.#random.logUniform(PAUSE_MS.min, PAUSE_MS.max)
        : 0;
    const transfer = this.#watch.begin(host, `${file.path}: write ${value} of ${sizeBytes} bytes`);
    file.start(value);
    const source = this.#pieces(run, { value, sizeBytes, pauseMs, transfer });
    try {
      await fs.writeFile(
        file.path,
        (async function* pieces() {
          let bytes = 0;
          for await (const piece of source) {
            if (bytes >= abortAtBytes) stop.abort();
            bytes += piece.length;
            yield piece;
          }
        })(),
        {
          ...{ replace: true, chunkSizeBytes: CHUNK_BYTES, signal: stop.signal },
          timeoutMs: TIMEOUT_MS,
          onProgress: (bytes) => transfer.progress(bytes),
        },
      );
      file.acknowledge(value);
      this.counts.written += 1;
    } catch (error) {
      if (!isAshlarError(error) || !stop.signal.aborted) throw error;
      this.counts.aborted += 1;
    } finally {
      transfer.end();
    }
  }

  async *#pieces(
    run: ProcessRun,
    write: {
      readonly value: number;
      readonly sizeBytes: number;
      readonly pauseMs: number;
      readonly transfer: Transfer;
    },
  ): AsyncGenerator<Uint8Array> {
    const { value, sizeBytes, pauseMs, transfer } = write;
    for (let offset = 0; offset < sizeBytes; offset += 256 * KIB) {
      if (pauseMs > 0) await transfer.pause(() => run.clock.sleep(pauseMs));
      const piece = new Uint8Array(Math.min(256 * KIB, sizeBytes - offset));
      fillContent(value, offset, piece);
      yield piece;
    }
  }

  async #read(run: ProcessRun, { fs, host }: Caller): Promise<void> {
    const file = this.#random.pick(this.#files);
    if (!file.exists) return;
    const oldest = file.oldestAllowed;
    const isPaused = this.#random.integer(PAUSED_READER_OF) === 0;
    const isLeft = this.#random.integer(PAUSED_READER_OF) === 0;
    const transfer = this.#watch.begin(host, `${file.path}: read`);
    try {
      const check = new ContentCheck();
      for await (const piece of fs.read(file.path, { timeoutMs: TIMEOUT_MS })) {
        requireNone(file, check.add(piece));
        transfer.progress(check.checkedBytes);
        if (isLeft && check.checkedBytes >= MIB) {
          this.counts.left += 1;
          return;
        }
        if (isPaused) await transfer.pause(() => run.clock.sleep(PAUSE_MS.max));
      }
      const value = check.stamp ?? 0;
      requireNone(file, file.note(value, oldest));
      requireNone(file, checkSize(sizeOf(value), check.checkedBytes));
      this.counts.read += 1;
      if (isPaused) this.counts.paused += 1;
    } finally {
      transfer.end();
    }
  }
}

/** @throws {Violation} if there is a problem */
function requireNone({ path }: TrackedFile, problem: string | null): void {
  if (problem !== null) throw new Violation(`${path}: ${problem}`);
}

/** Returns the size of a content: 5 KiB to 3.6 MiB; most have several chunks, which wait for the memory of servers. */
function sizeOf(value: number): number {
  const odd = (value * 7919) % 997;
  return value % 3 === 0 ? 5 * KIB + odd * 200 : 1200 * KIB + odd * 2_500;
}
