import { AshlarError } from "../../../shared/base/errors.ts";
import { formatCount } from "../../../shared/display/format.ts";
import { confirm } from "../confirm.ts";
import { OWNER_BITS } from "../local/local-directory.ts";
import type { NameFilter } from "../name-filter.ts";
import { compareFiles } from "./compare-files.ts";
import { FileSync } from "./file-sync.ts";
import { type EntryPair, mergeTrees } from "./merge-trees.ts";
import { type OpenDirectory, SyncDirectories } from "./sync-directories.ts";
import type { SyncJob, SyncStep } from "./sync-job.ts";
import { type Removal, Removals } from "./sync-removals.ts";
import type { SyncDirectory, SyncEntry, SyncFile } from "./sync-tree.ts";

const PERMISSION_BITS = 0o777;

type Walk = AsyncGenerator<SyncEntry, void, void>;

/** An entry of the target that must be removed before an entry of another kind takes its place. */
interface Conflict {
  readonly source: SyncFile | SyncDirectory;
  readonly target: Removal;
}

/**
 * One sync. The phases, in this order:
 *
 * 1. Both trees are walked at the same time. Directories are made on the way; files that are missing
 *    or differ are yielded as steps. What must be removed is only recorded.
 * 2. If the source was read completely: the removals, and then the entries that replace a removed one.
 * 3. The attributes of directories.
 *
 * Every step can be repeated: a sync that was stopped at any time is completed by the next one.
 */
export class TreeSync {
  readonly #job: SyncJob;
  readonly #files: FileSync;
  readonly #removals: Removals;
  readonly #conflicts: Conflict[] = [];
  readonly #directories: SyncDirectories;
  /** Whether an entry or the content of a file of the source could not be read. */
  #isSourceIncomplete = false;

  constructor(job: SyncJob) {
    this.#job = job;
    this.#files = new FileSync(job, () => {
      this.#isSourceIncomplete = true;
    });
    this.#removals = new Removals(job.options.isFiltered);
    this.#directories = new SyncDirectories((directory) => this.#needsFinish(directory));
  }

  /** Yields the steps. The next is requested only when it can run. */
  async *steps(source: SyncDirectory): AsyncGenerator<SyncStep, void, void> {
    const { pair, pending } = this.#job;
    const target = await pair.target.root();
    yield* this.#directory(source, target);
    yield async () => {}; // The root: one entry that fails is one of several items.
    const targetWalk = target === null ? noEntries() : pair.target.walk(target.relative);
    yield* this.#merge(pair.source.walk(source.relative), targetWalk);
    await pending.idle(); // A step can fail to read the source.
    if (await this.#mayRemove()) yield* this.#remove();
    for (const directory of this.#directories.finish()) {
      await pending.idle(); // One at a time, after the entries: their steps change the time.
      yield () => this.#finish(directory);
    }
  }

  async *#merge(source: Walk, target: Walk): AsyncGenerator<SyncStep, void, void> {
    const { context, options } = this.#job;
    const selected = (walk: Walk, onLeftOut: (relative: Buffer) => void): Walk =>
      options.isFiltered ? selectedEntries(walk, options.filter, onLeftOut) : walk;
    const from = selected(source, () => {});
    const to = selected(target, (relative) => this.#removals.keep(relative));
    for await (const pair of mergeTrees(from, to)) {
      context.signal.throwIfAborted();
      this.#directories.moveTo(pair.relative);
      yield* this.#failures(pair) ?? this.#entry(pair);
    }
  }

  /**
   * Returns steps that fail if an entry cannot be read or stored; null if there is none. Nothing is
   * removed that the source can have.
   */
  #failures({ source, target, skip }: EntryPair): SyncStep[] | null {
    if (source?.kind === "failed") this.#isSourceIncomplete = true;
    const errors = [source, target].flatMap((entry) =>
      entry?.kind === "failed" || (entry?.kind === "unsupported" && entry === source)
        ? [entry.error]
        : [],
    );
    if (errors.length === 0) return null;
    skip();
    return errors.map((error) => () => Promise.reject(error));
  }

  async *#entry({ source, target, skip }: EntryPair): AsyncGenerator<SyncStep, void, void> {
    if (source?.kind !== "file" && source?.kind !== "directory") {
      if (target !== null) this.#extra(target);
    } else if (target !== null && target.kind !== source.kind) {
      skip();
      yield* this.#conflict(source, target);
    } else if (source.kind === "directory") {
      yield* this.#directory(source, target?.kind === "directory" ? target : null, skip);
    } else {
      yield* this.#file(source, target?.kind === "file" ? target : null);
    }
  }

  /** Records an entry of the target that is not at the source. */
  #extra(target: SyncEntry): void {
    if (!this.#job.options.isDeleting) return;
    this.#removals.add(target);
    this.#directories.touch();
  }

  *#conflict(source: SyncFile | SyncDirectory, target: SyncEntry): Generator<SyncStep> {
    const { options, report, pair } = this.#job;
    const { kind, relative } = target;
    if (options.rule === "skip") return report.skipped();
    // A filter protects files that can be in the directory.
    if (!options.isDeleting || (options.isFiltered && kind === "directory")) {
      const path = pair.target.textOf(relative);
      yield () => Promise.reject(otherKind(path, source, target));
      return;
    }
    const removal = { kind, relative, isIfEmpty: false, entryCount: 0 };
    this.#conflicts.push({ source, target: removal });
    this.#directories.touch();
  }

  /** Makes a directory, or compares one that exists. Its attributes are set at the end. */
  async *#directory(
    source: SyncDirectory,
    target: SyncDirectory | null,
    skip: () => void = () => {},
  ): AsyncGenerator<SyncStep, void, void> {
    const { context, pair, options, report } = this.#job;
    if (target !== null) {
      this.#directories.enter(source, target);
      if (this.#files.missing(source, target) === null) report.unchanged();
      else if (options.rule === "skip") report.skipped();
      return;
    }
    const { relative } = source;
    try {
      if (!options.isDryRun) await pair.target.makeDirectory(relative, this.#whileFilled(source));
    } catch (error) {
      // Without its root a sync has nothing to do.
      if (context.signal.aborted || relative.length === 0) throw error;
      skip();
      yield () => Promise.reject(error);
      return;
    }
    this.#directories.touch();
    this.#directories.enter(source, null);
    yield () => report.changed("add", { kind: "directory", relative });
  }

  /** Returns the mode of a new directory until its entries were made. */
  #whileFilled({ attributes: { mode } }: SyncDirectory): number {
    const { pair, options } = this.#job;
    // With --preserve, no other user sees the entries of a local directory before its mode is set.
    if (options.isPreserved && pair.target.place === "local") return OWNER_BITS;
    return (pair.newMode(mode) & PERMISSION_BITS) | OWNER_BITS;
  }

  *#file(source: SyncFile, target: SyncFile | null): Generator<SyncStep> {
    const { options, report } = this.#job;
    const isSame = target !== null && compareFiles(source, target, options) === "same";
    if (isSame && this.#files.missing(source, target) === null) return report.unchanged();
    if (!isSame) this.#directories.touch();
    const { sizeBytes } = source;
    yield Object.assign(() => this.#files.sync(source, target), { sizeBytes });
  }

  /** Returns whether the recorded entries are removed. Asks the user. */
  async #mayRemove(): Promise<boolean> {
    const { context, pair, options, report } = this.#job;
    const entryCount = this.#removals.entryCount + this.#conflicts.length;
    if (entryCount === 0) return false;
    const entries = formatCount(entryCount, "entry", "entries");
    if (this.#isSourceIncomplete) {
      report.skipped(entryCount);
      context.output.warn(
        `Nothing is deleted, because the source could not be read completely: ${entries} kept`,
      );
      return false;
    }
    if (options.isConfirmed || options.isDryRun) return true;
    report.endProgress();
    const root = pair.target.textOf(new Uint8Array(0));
    const question = `Delete ${entries} of ${root} that the source does not have?`;
    if (await confirm(context, question)) return true;
    report.skipped(entryCount);
    return false;
  }

  async *#remove(): AsyncGenerator<SyncStep, void, void> {
    const { pair, pending } = this.#job;
    for (const removal of this.#removals.inOrder()) {
      // The steps of its entries can empty the directory.
      if (removal.isIfEmpty) await pending.idle();
      yield () => this.#removeOne(removal);
    }
    for (const { source, target } of this.#conflicts) {
      this.#directories.moveTo(source.relative);
      let isRemoved = false;
      yield async () => {
        await this.#removeOne(target);
        isRemoved = true;
      };
      await pending.idle();
      if (!isRemoved) continue;
      if (source.kind === "file") yield* this.#file(source, null);
      else {
        yield* this.#directory(source, null);
        yield* this.#merge(pair.source.walk(source.relative), noEntries());
      }
    }
  }

  async #removeOne(removal: Removal): Promise<void> {
    const { pair, options, report } = this.#job;
    const { kind, relative, isIfEmpty, entryCount } = removal;
    if (!options.isDryRun) {
      if (!isIfEmpty) await pair.target.remove(removal);
      else if (!(await pair.target.removeIfEmpty(relative))) return;
    }
    const counts = kind === "directory" ? { entryCount } : {};
    await report.changed("delete", { kind, relative, ...counts });
  }

  #needsFinish({ source, target, isTouched }: OpenDirectory): boolean {
    const { options, pair } = this.#job;
    const { isPreserved } = options;
    if (target === null) {
      return isPreserved || this.#whileFilled(source) !== pair.newMode(source.attributes.mode);
    }
    if (options.rule === "skip") return false;
    return isPreserved && (isTouched || this.#files.missing(source, target) !== null);
  }

  /** Sets the attributes of a directory. Those that its entries have changed are not counted. */
  async #finish({ source, target }: OpenDirectory): Promise<void> {
    const { pair, options } = this.#job;
    if (target !== null && this.#files.missing(source, target) !== null) {
      return this.#files.setAttributes(source, target);
    }
    if (options.isDryRun) return;
    const { mode, uid, gid, mtimeMs } = source.attributes;
    const kept = options.isPreserved ? { mode, uid, gid, mtimeMs } : { mode: pair.newMode(mode) };
    await this.#files.apply(source, kept);
  }
}

function otherKind(path: string, source: SyncEntry, target: SyncEntry): AshlarError {
  const what = target.kind === "unsupported" ? target.what : `a ${target.kind}`;
  const code = target.kind === "directory" ? "IS_A_DIRECTORY" : "ALREADY_EXISTS";
  return new AshlarError(
    code,
    `Cannot sync ${path}: expected a ${source.kind} as at the source: current value is ${what}`,
    { hint: "--delete removes what is in the way, a directory with everything in it" },
  );
}

async function* noEntries(): Walk {}

/**
 * Yields the entries that --include and --exclude select. Directories, also those that cannot be read,
 * are always selected: files that are selected can be below them.
 */
async function* selectedEntries(
  walk: Walk,
  filter: NameFilter,
  onLeftOut: (relative: Buffer) => void,
): Walk {
  for await (const entry of walk) {
    const hasEntries = entry.kind === "failed" ? entry.canHaveEntries : entry.kind === "directory";
    if (hasEntries || filter(entry.relative)) yield entry;
    else onLeftOut(entry.relative);
  }
}
