import { present } from "../../shared/base/assert.ts";
import { concatBytes, toHex } from "../../shared/base/bytes.ts";
import { AshlarError, isAshlarError } from "../../shared/base/errors.ts";
import type { InodeId, LogIndex, StagingId } from "../../shared/base/ids.ts";
import { joinPath, type PathInput, parsePath } from "../../shared/base/path.ts";
import type { Random } from "../../shared/ports/random.ts";
import type { Attributes } from "../../shared/protocol/attributes.ts";
import type { Operation, Target } from "../../shared/protocol/namespace-api.ts";
import type { MasterSession } from "../masters/master-session.ts";
import type { CallOptions, RestoreOptions } from "../options.ts";
import { indexAsOf } from "./as-of.ts";
import { checkEnd, refuseDots } from "./path-ends.ts";
import { targetOf } from "./target.ts";
import { walk } from "./walk.ts";

/*
 * Limits of one transaction. The masters refuse one of more than 20,000 units of work
 * (docs/operations.md, "Limits"). A restored file has about 40 units, 4 for each name of its path, and 17 for each chunk.
 */
const STEP_UNITS_MAX = 15_000;
const ITEM_UNITS = 40;
const NAME_UNITS = 4;
const CHUNK_UNITS = 17;
const STEP_PATH_BYTES_MAX = 1024 * 1024;
const STAGING_ID_BYTES = 16;

/** Result of a restore. */
export interface RestoreResult {
  /** Log index of the state that was restored. */
  readonly fromIndex: number;
  /** Log index of the commit that made the restored tree visible. */
  readonly index: number;
  /** Restored files. */
  readonly fileCount: number;
  /** Restored directories, with the top. */
  readonly directoryCount: number;
  /** Total size of the restored files. */
  readonly sizeBytes: number;
}

/** A file or directory to restore. */
interface RestoreItem {
  readonly inode: InodeId;
  /** Path below the top: starts with a slash, empty for the top itself. */
  readonly below: Uint8Array;
  readonly chunkCount: number;
}

/** Parameters of one restore. */
interface RestoreJob {
  readonly masters: MasterSession;
  readonly random: Random;
  readonly call: CallOptions;
  /** Kind of the top. */
  readonly kind: Attributes["kind"];
  /** Log index of the state to restore. */
  readonly index: LogIndex;
  /** Path in the past state. */
  readonly source: Uint8Array;
  /** Path to restore to. */
  readonly target: Uint8Array;
  readonly replace: boolean;
}

/**
 * Restores a file or tree of a past state, by reference. The tree becomes visible in one step: a
 * tree that is too large for one transaction is built as an unfinished tree without a path, and the
 * last transaction publishes it (docs/decisions/0012).
 *
 * @throws {AshlarError} NOT_FOUND if the path did not exist in the past state; ALREADY_EXISTS if
 *   the target exists and `replace` is false; INDEX_EXPIRED.
 */
export async function restore(
  deps: { readonly masters: MasterSession; readonly random: Random },
  path: PathInput,
  options: RestoreOptions,
): Promise<RestoreResult> {
  const { masters, random } = deps;
  const { to = path, replace = false, at, ...call } = options;
  const source = joinPath(parsePath(path));
  const target = joinPath(parsePath(to));
  checkTarget(target);
  refuseDots(targetOf(to), "create");
  const index = (await indexAsOf(masters, { at, ...call })) as LogIndex;
  const attributes = await masters.stat({ path: source }, { ...linearizable(call), index });
  checkEnd(targetOf(path), attributes);
  checkEnd(targetOf(to), attributes);
  const { kind } = attributes;
  const job = { masters, random, call, kind, index, source, target, replace };
  const totals = new RestoreTotals(attributes);
  const committed = await restoreItems(job, itemsToRestore(job, totals));
  return { fromIndex: index, index: committed, ...totals.counts };
}

function checkTarget(target: Uint8Array): void {
  if (target.length > 1) return;
  throw new AshlarError(
    "INVALID_ARGUMENT",
    "Cannot restore to /: expected another target: the root directory cannot be replaced",
    { hint: "Restore to a new directory" },
  );
}

/**
 * Past states are the same on all masters, but checks against the current state must be
 * linearizable.
 */
const linearizable = (call: CallOptions): CallOptions => ({ ...call, readMode: "linearizable" });

/** Counts what a restore restores. */
class RestoreTotals {
  readonly counts = { fileCount: 0, directoryCount: 0, sizeBytes: 0 };
  readonly top: Attributes;

  constructor(top: Attributes) {
    this.top = top;
  }

  count(attributes: Attributes, below: Uint8Array): RestoreItem {
    const { inode } = attributes;
    if (attributes.kind === "directory") {
      this.counts.directoryCount += 1;
      return { inode, below, chunkCount: 0 };
    }
    this.counts.fileCount += 1;
    this.counts.sizeBytes += attributes.sizeBytes;
    return { inode, below, chunkCount: attributes.chunkCount };
  }
}

/** Yields the top, then everything below it. A directory precedes its entries. */
async function* itemsToRestore(
  job: RestoreJob,
  totals: RestoreTotals,
): AsyncGenerator<RestoreItem> {
  yield totals.count(totals.top, new Uint8Array());
  if (totals.top.kind === "file") return;
  const { source } = job;
  const prefixLength = source.length === 1 ? 0 : source.length;
  for await (const entry of walk(job.masters, source, { ...job.call, at: job.index })) {
    yield totals.count(entry.attributes, entry.pathBytes.subarray(prefixLength));
  }
}

/** Restores all items. Resolves with the log index of the last commit. */
async function restoreItems(job: RestoreJob, pending: AsyncIterable<RestoreItem>): Promise<number> {
  const steps = stepsOf(job, pending);
  const first = (await steps.next()).value as readonly RestoreItem[];
  const second = await steps.next();
  if (second.done === true) {
    const inPlace = first.map((item) => operationOf(job, item, { path: job.target }));
    return await commit(job, [...(await removalsBefore(job)), ...inPlace]);
  }
  const id = toHex(job.random.bytes(STAGING_ID_BYTES)) as StagingId;
  try {
    const tree = await stageTop(job, id);
    const toTree = (item: RestoreItem): Operation => operationOf(job, item, tree);
    const belowTop = first.slice(1);
    if (belowTop.length > 0) await commit(job, belowTop.map(toTree));
    await commit(job, second.value.map(toTree));
    for await (const step of steps) await commit(job, step.map(toTree));
    const move = { kind: "rename", from: tree, to: { path: job.target } } as const;
    return await commit(job, [...(await removalsBefore(job)), { ...move, noReplace: true }]);
  } catch (error) {
    await unstage(job, id);
    throw error;
  }
}

/** Creates the unfinished tree. @returns its top, to which paths below it can be added */
async function stageTop({ masters, source, index, call }: RestoreJob, id: StagingId) {
  const operation: Operation = { kind: "stage-directory", id, from: { path: source }, index };
  const { inodes } = await masters.transact({ preconditions: [], operations: [operation] }, call);
  const [inode] = inodes;
  return { inode: present(inode, "the operation creates an inode") };
}

/** Yields groups of items that fit into one transaction each. */
async function* stepsOf(
  { target }: RestoreJob,
  pending: AsyncIterable<RestoreItem>,
): AsyncGenerator<readonly RestoreItem[]> {
  let step: RestoreItem[] = [];
  let pathBytes = 0;
  let units = 0;
  for await (const item of pending) {
    const itemUnits = unitsOf(target, item);
    const isFull = units + itemUnits > STEP_UNITS_MAX || pathBytes > STEP_PATH_BYTES_MAX;
    if (isFull && step.length > 0) {
      yield step;
      step = [];
      pathBytes = 0;
      units = 0;
    }
    step.push(item);
    pathBytes += target.length + item.below.length;
    units += itemUnits;
  }
  yield step;
}

const SLASH = 0x2f;

/** Returns about how many units of work the masters need to restore an item. */
function unitsOf(target: Uint8Array, { below, chunkCount }: RestoreItem): number {
  let names = 0;
  for (const byte of target) if (byte === SLASH) names += 1;
  for (const byte of below) if (byte === SLASH) names += 1;
  return ITEM_UNITS + NAME_UNITS * names + CHUNK_UNITS * chunkCount;
}

/** Returns the operation that restores `item` below `base`. */
function operationOf({ index, replace }: RestoreJob, item: RestoreItem, base: Target): Operation {
  const to: Target = { ...base, path: concatBytes([base.path ?? new Uint8Array(), item.below]) };
  // Only a restored file may replace its target. For a tree, `removalsBefore` removes the target.
  const isTop = item.below.length === 0;
  return { kind: "restore", from: { inode: item.inode }, index, to, replace: replace && isTop };
}

/**
 * Returns the operations that remove the target before the restore, if `replace` is true. A file
 * needs none to replace a file.
 */
async function removalsBefore(job: RestoreJob): Promise<readonly Operation[]> {
  if (!job.replace) return [];
  const target = { path: job.target };
  try {
    const attributes = await job.masters.stat(target, linearizable(job.call));
    if (attributes.kind === "file" && job.kind === "file") return [];
    return [{ kind: "remove-tree", target }];
  } catch (error) {
    if (isAshlarError(error, "NOT_FOUND")) return [];
    throw error;
  }
}

/** @param operations at least one */
async function commit(job: RestoreJob, operations: readonly Operation[]): Promise<number> {
  const { index } = await job.masters.transact({ preconditions: [], operations }, job.call);
  return index;
}

/** Removes the unfinished tree. Best effort: the masters remove it with the session. */
async function unstage(job: RestoreJob, id: StagingId): Promise<void> {
  const { timeoutMs } = job.call;
  const call = timeoutMs === undefined ? {} : { timeoutMs };
  try {
    await commit({ ...job, call }, [{ kind: "unstage", id }]);
  } catch {
    // Ignored: the caller receives the error that made the restore fail.
  }
}
