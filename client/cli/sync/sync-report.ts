import { formatCount, formatSize, jsonName } from "../../../shared/display/format.ts";
import type { CommandContext } from "../command.ts";
import type { Difference, TransferDifferences } from "../transfer-differences.ts";
import { TransferProgress } from "../transfer-progress.ts";
import type { SyncOptions } from "./sync-options.ts";
import type { SyncEntry, SyncTree } from "./sync-tree.ts";

/** A change of the target. */
export type SyncAction = "add" | "change" | "attributes" | "delete";

const DONE: Readonly<Record<SyncAction, string>> = {
  add: "added",
  change: "changed",
  attributes: "set the attributes of",
  delete: "deleted",
};
const PLANNED: Readonly<Record<SyncAction, string>> = {
  add: "would add",
  change: "would change",
  attributes: "would set the attributes of",
  delete: "would delete",
};

/** An entry that was changed, and what is known of it. */
export interface ChangedEntry extends Pick<SyncEntry, "kind" | "relative"> {
  /** Bytes of a file that was written. */
  readonly sizeBytes?: number;
  /** Entries that were deleted with their directory. */
  readonly entryCount?: number;
}

/** The progress of a sync, one line or JSON object for each change, and the summary. */
export class SyncReport {
  readonly #context: CommandContext;
  readonly #target: SyncTree;
  readonly #isDryRun: boolean;
  readonly #progress: TransferProgress;
  readonly #startMs = performance.now();
  readonly #differences: TransferDifferences;
  readonly #counts = { added: 0, changed: 0, deleted: 0, unchanged: 0, skipped: 0, failed: 0 };
  #sizeBytes = 0;

  constructor(
    context: CommandContext,
    target: SyncTree,
    options: Pick<SyncOptions, "isDryRun" | "rule"> & {
      readonly differences: TransferDifferences;
    },
  ) {
    this.#context = context;
    this.#target = target;
    this.#isDryRun = options.isDryRun;
    this.#differences = options.differences;
    this.#progress = new TransferProgress(context, "synced", options.rule);
  }

  /** As `TransferProgress.begin`. */
  begin(sizeBytes: number): (fileBytes: number) => void {
    return this.#progress.begin(sizeBytes);
  }

  /** Removes the bar, so that a question can be asked. */
  endProgress(): void {
    this.#progress.end();
  }

  /** Counts and prints a change, which with --dry-run was not made. */
  async changed(action: SyncAction, entry: ChangedEntry): Promise<void> {
    const { relative, kind, sizeBytes = 0, entryCount = 0 } = entry;
    const count = { add: "added", change: "changed", attributes: "changed", delete: "deleted" };
    this.#counts[count[action] as "added"] += 1 + entryCount;
    this.#sizeBytes += sizeBytes;
    const { output } = this.#context;
    if (output.options.json) return this.#printChange(action, entry);
    const inside =
      entryCount === 0 ? "" : ` and ${formatCount(entryCount, "entry", "entries")} in it`;
    const slash = kind === "directory" && !this.#target.textOf(relative).endsWith("/") ? "/" : "";
    const text = `${this.#target.textOf(relative)}${slash}${inside}`;
    if (this.#isDryRun) await output.line(`${PLANNED[action]} ${text}`);
    else output.detail(`${DONE[action]} ${text}`);
  }

  /** Counts an entry that is the same at the source and the target. */
  unchanged(): void {
    this.#counts.unchanged += 1;
  }

  /** Counts entries of the target that differ and are kept on request. */
  skipped(count = 1): void {
    this.#counts.skipped += count;
  }

  /** Runs a step and counts a failure. */
  async counted(step: () => Promise<void>): Promise<void> {
    try {
      await step();
    } catch (error) {
      this.#counts.failed += 1;
      throw error;
    }
  }

  /** Counts a difference between a copy and its source. */
  differs(difference: Difference, path: string): void {
    this.#differences.add(difference, path);
  }

  /** Removes the bar and prints the summary, except in text with --dry-run. */
  async end(): Promise<void> {
    this.#progress.end();
    const { output } = this.#context;
    const { added, changed, deleted, unchanged, skipped, failed } = this.#counts;
    if (output.options.json) {
      await output.json("ashlar.sync-summary/1", {
        added_count: added,
        changed_count: changed,
        deleted_count: deleted,
        unchanged_count: unchanged,
        skipped_count: skipped,
        failed_count: failed,
        size_bytes: this.#sizeBytes,
        ...this.#differences.toJson(),
        ...this.#dryRunKey(),
      });
      return;
    }
    if (this.#isDryRun) return;
    this.#differences.print(output);
    const counts = `added ${added}, changed ${changed}, deleted ${deleted}, unchanged ${unchanged}, skipped ${skipped}`;
    const failures = failed === 0 ? "" : `, failed ${failed}`;
    const seconds = (performance.now() - this.#startMs) / 1000;
    const size = formatSize(this.#sizeBytes, true);
    output.note(`${counts}${failures}; ${size} in ${seconds.toFixed(1)} s`);
  }

  async #printChange(action: SyncAction, entry: ChangedEntry): Promise<void> {
    const { kind, relative, sizeBytes, entryCount } = entry;
    await this.#context.output.json("ashlar.sync/1", {
      action,
      kind: kind === "directory" || kind === "file" ? kind : "other",
      ...jsonName("path", this.#target.bytesOf(relative)),
      ...(sizeBytes === undefined ? {} : { size_bytes: sizeBytes }),
      ...(entryCount === undefined ? {} : { entry_count: entryCount }),
      ...this.#dryRunKey(),
    });
  }

  #dryRunKey(): { readonly is_dry_run?: true } {
    return this.#isDryRun ? { is_dry_run: true } : {};
  }
}
