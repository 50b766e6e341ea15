import { toHex } from "../../shared/base/bytes.ts";
import { type EntryName, joinPath, type PathNames } from "../../shared/base/path.ts";
import type { CommittedChunk, Operation, Target } from "../../shared/protocol/namespace-api.ts";
import type { ClientDeps } from "../client-deps.ts";
import type { Deadline } from "../deadline.ts";
import type { SealedChunk } from "./chunk-writer.ts";

/** A part file is readable by its owner only: the file it belongs to may become so too. */
const PART_FILE_MODE = 0o600;
/** A tenth of the lifetime of an intent, within these bounds. */
const CHECK_INTERVAL_MS_MIN = 100;
const CHECK_INTERVAL_MS_MAX = 10_000;

/**
 * Keeps what was written of a file that takes long.
 *
 * A sealed chunk that no commit names is dropped when its intent has grown old. So its chunks are
 * committed before that, to hidden files beside the file-to-be (`.ashlar-part-…`); the commit that
 * publishes the file names them again and removes the hidden files in the same entry. A client
 * that dies may leave such files behind.
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
  readonly #targets: Target[] = [];
  /** Those of `#targets` that are known to be there. */
  readonly #committed: Target[] = [];
  /** Full chunks that are sealed and not kept yet. */
  #unprotected: SealedChunk[] = [];
  /** Chunks that are kept, so that they need no receipts any more. */
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

  /** A chunk was sealed. */
  addSealed(sealed: SealedChunk): void {
    // A short chunk is the file's last: its commit follows at once.
    if (sealed.chunk.lengthBytes === this.#file.chunkSizeBytes) this.#unprotected.push(sealed);
  }

  /** Begins to look after the chunks, until `stop`. */
  start(): void {
    this.#protecting = this.#protectAging();
  }

  /** Resolves when nothing is under way any more. */
  async stop(): Promise<void> {
    this.#stopped.abort();
    await this.#protecting;
  }

  /** How the file's own commit names a chunk. */
  committedForm(sealed: SealedChunk): CommittedChunk {
    if (!this.#protected.has(sealed)) return sealed.chunk;
    return { ...sealed.chunk, intentIndex: 0 as CommittedChunk["intentIndex"], receipts: [] };
  }

  /** What removes the hidden files, for the commit that publishes the file. */
  get removals(): Operation[] {
    return this.#committed.map(removalOf);
  }

  /**
   * Removes the hidden files: all of them where the file was given up, else those whose commit had
   * no clear answer. Some may not be there.
   */
  async discard(isPublished: boolean): Promise<void> {
    const { masters } = this.#deps;
    const left = this.#targets.filter((each) => !isPublished || !this.#committed.includes(each));
    await Promise.allSettled(
      left.map((target) =>
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
        // There is time for another try: it is begun with two thirds of the lifetime left.
        env.log.warn("Cannot keep the chunks of a file that takes long", { error });
      }
    }
  }

  #intervalMs(): number {
    const lifetimeMs = this.#unprotected[0]?.lifetimeMs ?? 10 * CHECK_INTERVAL_MS_MIN;
    return Math.max(CHECK_INTERVAL_MS_MIN, Math.min(CHECK_INTERVAL_MS_MAX, lifetimeMs / 10));
  }

  /** Commits the chunks that are kept by nothing, if one of them grows old. */
  async #protectIfOld(): Promise<void> {
    const nowMs = this.#deps.env.clock.monotonicMs();
    if (!this.#unprotected.some((each) => nowMs - each.requestedAtMs > each.lifetimeMs / 3)) return;
    const loose = [...this.#unprotected];
    const target = this.#nextTarget();
    this.#targets.push(target); // Also if the commit fails: it may have had its effect.
    await this.#commit(target, loose);
    this.#committed.push(target);
    this.#unprotected = this.#unprotected.slice(loose.length);
    for (const each of loose) this.#protected.add(each);
  }

  #nextTarget(): Target {
    const text = `.ashlar-part-${this.#writerId}-${this.#targets.length}`;
    const name = new TextEncoder().encode(text) as Uint8Array as EntryName;
    return { path: joinPath([...this.#directory, name]) };
  }

  async #commit(target: Target, loose: readonly SealedChunk[]): Promise<void> {
    const { masters, timeoutMs } = this.#deps;
    const { uid, gid, chunkSizeBytes, storageClass } = this.#file;
    const operation: Operation = {
      kind: "put",
      target,
      content: {
        kind: "chunks",
        sizeBytes: loose.length * chunkSizeBytes,
        chunkSizeBytes,
        chunks: loose.map((each) => each.chunk),
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
