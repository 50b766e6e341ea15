import { toHex } from "../../shared/base/bytes.ts";
import { type EntryName, joinPath, type PathNames } from "../../shared/base/path.ts";
import type { CommittedChunk, Operation, Target } from "../../shared/protocol/namespace-api.ts";
import type { ClientDeps } from "../client-deps.ts";
import type { Deadline } from "../deadline.ts";
import type { SealedChunk } from "./chunk-writer.ts";

/** Part files are readable by their owner only, because the final file may be, too. */
const PART_FILE_MODE = 0o600;
/** Bounds of the check interval, which is a tenth of the lifetime of an intent. */
const CHECK_INTERVAL_MS_MIN = 100;
const CHECK_INTERVAL_MS_MAX = 10_000;

/**
 * Protects the sealed chunks of a long write from expiry.
 *
 * Chunkservers drop a sealed chunk when its intent expires before a commit names the chunk. A long
 * write therefore commits its chunks to hidden files in the same directory (`.ashlar-part-…`). The
 * commit that publishes the file names the chunks again and removes the hidden files in the same
 * log entry. A client that is killed may leave hidden files behind.
 */
export class PartFiles {
  readonly #deps: ClientDeps;
  readonly #directory: PathNames;
  readonly #deadline: Deadline;
  readonly #file: {
    readonly uid: number;
    readonly gid: number;
    readonly chunkSizeBytes: number;
    readonly storageClass: string | undefined;
  };
  readonly #writerId: string;
  readonly #stopped = new AbortController();
  #protecting: Promise<void> = Promise.resolve();
  /** Hidden files whose commit was attempted. */
  readonly #targets: Target[] = [];
  /** Hidden files whose commit was acknowledged. */
  readonly #committed: Target[] = [];
  /** Sealed chunks that no commit names yet. */
  #unprotected: SealedChunk[] = [];
  /** Chunks of committed hidden files. Later commits need no receipts for them. */
  readonly #protected = new Set<SealedChunk>();

  constructor(options: {
    readonly deps: ClientDeps;
    readonly deadline: Deadline;
    readonly directory: PathNames;
    readonly uid: number;
    readonly gid: number;
    readonly chunkSizeBytes: number;
    readonly storageClass: string | undefined;
  }) {
    this.#deps = options.deps;
    this.#directory = options.directory;
    this.#deadline = options.deadline;
    this.#file = options;
    this.#writerId = toHex(options.deps.env.random.bytes(8));
  }

  /** Adds a sealed chunk to protect. */
  addSealed(sealed: SealedChunk): void {
    // A short chunk is the last of the file: the commit of the file follows immediately.
    if (sealed.chunk.lengthBytes === this.#file.chunkSizeBytes) this.#unprotected.push(sealed);
  }

  /** Starts to protect chunks, until `stop`. */
  start(): void {
    this.#protecting = this.#protectAging();
  }

  /** Stops. Resolves when no commit is pending. */
  async stop(): Promise<void> {
    this.#stopped.abort();
    await this.#protecting;
  }

  /** Returns a chunk as the commit of the file must name it: a protected one needs no receipts. */
  committedForm(sealed: SealedChunk): CommittedChunk {
    if (!this.#protected.has(sealed)) return sealed.chunk;
    return { ...sealed.chunk, intentIndex: 0 as CommittedChunk["intentIndex"], receipts: [] };
  }

  /** Operations that remove the hidden files, for the commit that publishes the file. */
  get removals(): Operation[] {
    return this.#committed.map(removalOf);
  }

  /**
   * Removes remaining hidden files. If the file was not published, these are all of them; else
   * those whose commit had an unknown outcome. Some may not exist.
   */
  async discard(isPublished: boolean): Promise<void> {
    const { masters } = this.#deps;
    const remaining = this.#targets.filter(
      (each) => !isPublished || !this.#committed.includes(each),
    );
    await Promise.allSettled(
      remaining.map((target) =>
        masters.transact({ preconditions: [], operations: [removalOf(target)] }),
      ),
    );
  }

  async #protectAging(): Promise<void> {
    const { env } = this.#deps;
    const { signal } = this.#stopped;
    while (!signal.aborted) {
      try {
        await env.clock.sleep(this.#intervalMs(), signal);
        await this.#protectIfOld();
      } catch (error) {
        if (signal.aborted) return;
        // The next check retries: two thirds of the lifetime are left at the first attempt.
        env.log.warn("Cannot commit the sealed chunks of a long write", { error });
      }
    }
  }

  #intervalMs(): number {
    const lifetimeMs = this.#unprotected[0]?.lifetimeMs ?? 10 * CHECK_INTERVAL_MS_MIN;
    return Math.max(CHECK_INTERVAL_MS_MIN, Math.min(CHECK_INTERVAL_MS_MAX, lifetimeMs / 10));
  }

  /** Commits all unprotected chunks if the age of one exceeds a third of its lifetime. */
  async #protectIfOld(): Promise<void> {
    const nowMs = this.#deps.env.clock.monotonicMs();
    if (!this.#unprotected.some((each) => nowMs - each.requestedAtMs > each.lifetimeMs / 3)) return;
    const chunks = [...this.#unprotected];
    const target = this.#nextTarget();
    this.#targets.push(target); // Before the commit: one that fails may still have been applied.
    await this.#commit(target, chunks);
    this.#committed.push(target);
    this.#unprotected = this.#unprotected.slice(chunks.length);
    for (const each of chunks) this.#protected.add(each);
  }

  #nextTarget(): Target {
    const text = `.ashlar-part-${this.#writerId}-${this.#targets.length}`;
    const name = new TextEncoder().encode(text) as Uint8Array as EntryName;
    return { path: joinPath([...this.#directory, name]) };
  }

  async #commit(target: Target, chunks: readonly SealedChunk[]): Promise<void> {
    const { masters, timeoutMs } = this.#deps;
    const { uid, gid, chunkSizeBytes, storageClass } = this.#file;
    const operation: Operation = {
      kind: "put",
      target,
      content: {
        kind: "chunks",
        sizeBytes: chunks.length * chunkSizeBytes,
        chunkSizeBytes,
        chunks: chunks.map((each) => each.chunk),
      },
      replace: false,
      mode: PART_FILE_MODE,
      uid,
      gid,
      ...(storageClass === undefined ? {} : { storageClass }),
    };
    await masters.transact(
      { preconditions: [], operations: [operation] },
      { signal: this.#deadline.signal, timeoutMs: this.#deadline.remainingMs(timeoutMs) },
    );
  }
}

function removalOf(target: Target): Operation {
  return { kind: "unlink", target };
}
