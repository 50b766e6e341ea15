import { isAshlarError } from "../../../shared/base/errors.ts";
import type { AttributeChanges } from "../../options.ts";
import { confirm } from "../confirm.ts";
import { withPathInError } from "../path-in-error.ts";
import { REPLACE_HINT } from "../replace-flags.ts";
import { compareFiles, missingAttributes } from "./compare-files.ts";
import type { SyncJob } from "./sync-job.ts";
import type { SyncDirectory, SyncFile } from "./sync-tree.ts";

/** The steps of a sync that change one file, or the attributes of one file or directory. */
export class FileSync {
  readonly #job: SyncJob;
  readonly #onSourceError: () => void;

  /** @param onSourceError is called if the content of a file of the source cannot be read */
  constructor(job: SyncJob, onSourceError: () => void) {
    this.#job = job;
    this.#onSourceError = onSourceError;
  }

  /** Makes the target of a file the same as its source. `target` is null if it does not exist. */
  async sync(source: SyncFile, target: SyncFile | null): Promise<void> {
    const { options, report } = this.#job;
    if (target !== null && (await this.#isSame(source, target))) {
      return this.setAttributes(source, target);
    }
    const replace = await this.#mayReplace(target);
    if (replace === null) return report.skipped();
    try {
      if (!options.isDryRun) await this.#writeNamed(source, replace);
    } catch (error) {
      // The file appeared meanwhile.
      if (options.rule !== "skip" || !isAshlarError(error, "ALREADY_EXISTS")) throw error;
      return report.skipped();
    }
    const { relative, sizeBytes } = source;
    await report.changed(target === null ? "add" : "change", { kind: "file", relative, sizeBytes });
  }

  /** Sets the attributes that the target lacks. */
  async setAttributes(
    source: SyncFile | SyncDirectory,
    target: SyncFile | SyncDirectory,
  ): Promise<void> {
    const { options, report } = this.#job;
    const changes = this.missing(source, target);
    if (changes === null) return report.unchanged();
    if (options.rule === "skip") return report.skipped();
    if (!options.isDryRun) await this.apply(target, changes);
    await report.changed("attributes", { kind: target.kind, relative: target.relative });
  }

  /** Sets attributes at the target, and counts an owner that could not be set. */
  async apply(
    target: Pick<SyncFile | SyncDirectory, "kind" | "relative">,
    changes: AttributeChanges,
  ): Promise<void> {
    const { pair } = this.#job;
    const isOwnerKept = await pair.target.setAttributes(target, changes);
    if (!isOwnerKept) this.#differs("owners", target.relative);
  }

  /** Returns the attributes that the target lacks; null if it has all that are kept. */
  missing(
    source: SyncFile | SyncDirectory,
    target: SyncFile | SyncDirectory,
  ): AttributeChanges | null {
    const { pair, options } = this.#job;
    const { isPreserved } = options;
    return missingAttributes(source.attributes, target.attributes, {
      isTimeKept: source.kind === "file" || isPreserved,
      isPreserved,
      keepsOwners: pair.target.keepsOwners,
    });
  }

  async #isSame(source: SyncFile, target: SyncFile): Promise<boolean> {
    const { pair, options } = this.#job;
    const comparison = compareFiles(source, target, options);
    if (comparison !== "compare") return comparison === "same";
    try {
      return await pair.hasSameContent(source, target);
    } catch (error) {
      if (source.content.place === "local") this.#onSourceError();
      throw error;
    }
  }

  /** Returns whether a file is replaced; null: it is kept. */
  async #mayReplace(target: SyncFile | null): Promise<boolean | null> {
    const { context, options, pair } = this.#job;
    if (options.rule === "skip") return target === null ? false : null;
    if (options.rule !== "ask" || target === null || options.isDryRun) return true;
    const question = `Replace ${pair.target.textOf(target.relative)}?`;
    return (await confirm(context, question, REPLACE_HINT)) ? true : null;
  }

  async #writeNamed(source: SyncFile, replace: boolean): Promise<void> {
    const { pair } = this.#job;
    const { relative } = source;
    const paths = { source: pair.source.textOf(relative), target: pair.target.textOf(relative) };
    await withPathInError({ verb: "sync", ...paths }, () => this.#write(source, replace));
  }

  async #write(source: SyncFile, replace: boolean): Promise<void> {
    const { pair, options, report } = this.#job;
    const { isPreserved } = options;
    this.#countDifferences(source);
    const onProgress = report.begin(source.sizeBytes);
    const onSourceError = this.#onSourceError;
    const write = { source, replace, isPreserved, onProgress, onSourceError };
    const isOwnerKept = await pair.writeFile(write);
    if (!isOwnerKept && isPreserved) this.#differs("owners", source.relative);
    onProgress(source.sizeBytes);
  }

  #countDifferences({ content }: SyncFile): void {
    if (content.place !== "local") return;
    const { isLink, stats, path } = content.entry;
    if (isLink) this.#job.report.differs("links", path.text);
    else if (stats.nlink > 1n) this.#job.report.differs("hard_links", path.text);
  }

  #differs(difference: "owners", relative: Buffer): void {
    this.#job.report.differs(difference, this.#job.pair.target.textOf(relative));
  }
}
