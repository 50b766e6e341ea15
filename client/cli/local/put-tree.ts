import { AshlarError } from "../../../shared/base/errors.ts";
import { pathErrorMessage } from "../../../shared/base/path-errors.ts";
import { statOrNull } from "../exists.ts";
import type { LocalPath } from "../local-path.ts";
import { childPath, isBelow, type RemotePath, remotePath } from "../remote-paths.ts";
import { type MadeDirectory, makeDirectories, type NewDirectory } from "./make-directories.ts";
import { keptAttributes, newDirectoryMode, type PutJob, type Upload } from "./put-job.ts";
import { ReadAhead } from "./read-ahead.ts";
import { type LocalEntry, type WalkedEntry, walkLocal } from "./walk-local.ts";

/** Entries that the walk is ahead of the uploads: their directories are made together. */
const ENTRIES_AHEAD_MAX = 512;
/** Entries that are read before a directory is made, for others to make with it: a few milliseconds. */
const ENTRIES_AHEAD_MIN = 64;
/** Directories of one transaction, and of one that is started before its directories are needed. */
const DIRECTORIES_MAX = 64;
const DIRECTORIES_AHEAD_MIN = 16;

/** A directory whose attributes are set at the end. */
type Finish = Upload & { readonly kind: "finish" };

/**
 * Yields the files below a local directory, in the order of the walk. Directories are made on the way,
 * before their entries are yielded; their modes and times are set after all files of the tree were put.
 * An entry that cannot be put is yielded as failed, what is below it is left out, and the walk
 * continues.
 */
export async function* uploadsOfTree(
  job: PutJob,
  root: { readonly path: LocalPath; readonly stats: LocalEntry["stats"] },
  target: RemotePath,
): AsyncGenerator<Upload, void, void> {
  const finishes: Finish[] = [];
  await makeRoot(job, root, { target, finishes });
  yield { kind: "made" };
  yield* new TreeUpload(job, target, finishes).uploads(root.path);
  await job.pending.idle(); // A file that is put changes the time of its directory.
  yield* finishes.reverse();
}

/** The entries below the root of one tree. */
class TreeUpload {
  readonly #job: PutJob;
  readonly #root: RemotePath;
  readonly #finishes: Finish[];
  /** Directories that are made or being made, and are not yielded yet. */
  readonly #made = new Map<LocalEntry, Promise<MadeDirectory>>();
  /** The last directory that could not be made. The walk is depth first. */
  #failed: Uint8Array | null = null;
  /** The transaction in progress, which does not reject. */
  #making: Promise<void> | null = null;

  constructor(job: PutJob, root: RemotePath, finishes: Finish[]) {
    this.#job = job;
    this.#root = root;
    this.#finishes = finishes;
  }

  async *uploads(root: LocalPath): AsyncGenerator<Upload, void, void> {
    await using walk = new ReadAhead(walkLocal(root), ENTRIES_AHEAD_MAX);
    try {
      for (let entry = await walk.next(); entry !== null; entry = await walk.next()) {
        this.#job.context.signal.throwIfAborted();
        if (this.#isLeftOut(entry)) continue;
        const upload = isDirectory(entry)
          ? await this.#directory(entry, walk)
          : this.#upload(entry);
        this.#make(walk.buffered, DIRECTORIES_AHEAD_MIN);
        if (upload !== null) yield upload;
      }
    } finally {
      await this.#making;
    }
  }

  /** Returns whether an entry is below a directory that could not be made. */
  #isLeftOut(entry: WalkedEntry): boolean {
    if (this.#failed === null || entry.kind === "temporary") return false;
    return isBelow(entry.relative, this.#failed);
  }

  /** Makes a directory, if it is not made yet. */
  async #directory(entry: LocalEntry, walk: ReadAhead<WalkedEntry>): Promise<Upload> {
    if (this.#job.options["dryRun"] === true) return { kind: "made" };
    while (!this.#made.has(entry)) {
      await this.#making;
      await walk.filled(ENTRIES_AHEAD_MIN);
      this.#make([entry, ...walk.buffered], 1);
    }
    const made = (await this.#made.get(entry)) as MadeDirectory;
    this.#made.delete(entry);
    try {
      if (made.kind === "failed") throw made.error;
      const existed = made.kind === "existed";
      const target = this.#targetOf(entry);
      if (existed) await this.#requireDirectory(target);
      finish(this.#job, entry, { target, finishes: this.#finishes, existed });
      return { kind: "made" };
    } catch (error) {
      if (this.#job.context.signal.aborted) throw error;
      this.#failed = entry.relative;
      return { kind: "failed", error };
    }
  }

  /**
   * Starts to make the directories among the next entries if there are enough, unless some are being
   * made: those of a later transaction can be below those of an earlier one.
   */
  #make(next: readonly WalkedEntry[], countMin: number): void {
    if (this.#making !== null || this.#job.options["dryRun"] === true) return;
    const found = next.filter(isDirectory).filter((entry) => !this.#made.has(entry));
    const entries = found.slice(0, DIRECTORIES_MAX);
    if (entries.length < countMin) return;
    const directories: NewDirectory[] = entries.map((entry) => ({
      target: this.#targetOf(entry),
      mode: newDirectoryMode(this.#job, entry).whileFilled,
    }));
    const making = makeDirectories(this.#job.context, directories);
    for (const [position, entry] of entries.entries()) {
      const made = making.then((results) => results[position] as MadeDirectory);
      made.catch(() => {}); // The command was stopped.
      this.#made.set(entry, made);
    }
    const end = (): void => {
      this.#making = null;
    };
    this.#making = making.then(end, end);
  }

  async #requireDirectory(target: RemotePath): Promise<void> {
    const { signal, fileSystem } = this.#job.context;
    const found = await (await fileSystem()).stat(target.bytes, { signal });
    if (found.kind === "directory") return;
    throw new AshlarError("NOT_A_DIRECTORY", pathErrorMessage("NOT_A_DIRECTORY", target.text));
  }

  /** Returns the upload of an entry that is no directory; null if it is left out on purpose. */
  #upload(entry: WalkedEntry): Upload | null {
    const { report, filter } = this.#job;
    if (entry.kind === "temporary") {
      report.differs("temporary", entry.path.text);
      return null;
    }
    // The filter selects files. It does not hide that a directory was not read.
    const hasEntries = entry.kind === "failed" && entry.canHaveEntries;
    if (!hasEntries && !filter(entry.relative)) return null;
    if (entry.kind === "failed") return entry;
    if (entry.kind === "unsupported") return { kind: "failed", error: entry.error };
    if (entry.isLink) report.differs("links", entry.path.text);
    else if (entry.stats.nlink > 1n) report.differs("hard_links", entry.path.text);
    return { kind: "file", entry, target: this.#targetOf(entry), isInTree: true };
  }

  #targetOf({ relative }: LocalEntry): RemotePath {
    return remotePath(childPath(this.#root.bytes, relative));
  }
}

const isDirectory = (entry: WalkedEntry): entry is LocalEntry => entry.kind === "directory";

interface DirectoryTarget {
  readonly target: RemotePath;
  readonly finishes: Finish[];
}

/** Makes the root of a tree, and its missing parents. */
async function makeRoot(
  job: PutJob,
  root: Pick<LocalEntry, "stats">,
  { target, finishes }: DirectoryTarget,
): Promise<void> {
  if (job.options["dryRun"] === true) return;
  const { signal } = job.context;
  const fileSystem = await job.context.fileSystem();
  const existed = (await statOrNull(fileSystem, target.bytes, { signal })) !== null;
  const { whileFilled } = newDirectoryMode(job, root);
  await fileSystem.mkdir(target.bytes, { parents: true, mode: whileFilled, signal });
  finish(job, root, { target, finishes, existed });
}

/** Adds the attributes that the directory does not have yet. An existing one keeps its own. */
function finish(
  job: PutJob,
  entry: Pick<LocalEntry, "stats">,
  { target, finishes, existed }: DirectoryTarget & { readonly existed: boolean },
): void {
  if (job.options["preserve"] === true) {
    finishes.push({ kind: "finish", target, attributes: keptAttributes(entry) });
    return;
  }
  const { whileFilled, final } = newDirectoryMode(job, entry);
  if (existed || whileFilled === final) return;
  finishes.push({ kind: "finish", target, attributes: { mode: final } });
}
