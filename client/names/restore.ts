import { concatBytes, toHex } from "../../shared/base/bytes.ts";
import { AshlarError, isAshlarError } from "../../shared/base/errors.ts";
import type { InodeId, LogIndex } from "../../shared/base/ids.ts";
import { joinPath, type PathInput, parsePath } from "../../shared/base/path.ts";
import type { Random } from "../../shared/ports/random.ts";
import type { Attributes } from "../../shared/protocol/attributes.ts";
import {
  CONTENT_CHUNKS_MAX,
  type Operation,
  type Target,
} from "../../shared/protocol/namespace-api.ts";
import type { MasterSession } from "../masters/master-session.ts";
import type { CallOptions, RestoreOptions } from "../options.ts";
import { indexAsOf } from "./as-of.ts";
import { walk } from "./walk.ts";

/** What one entry brings back at most: some tens of milliseconds on every master. */
const STEP_OPERATIONS_MAX = 5_000;
const STEP_PATH_BYTES_MAX = 4 * 1024 * 1024;

export interface RestoreResult {
  /** The state that was brought back. */
  readonly fromIndex: number;
  /** The commit that made it visible. */
  readonly index: number;
  readonly fileCount: number;
  readonly directoryCount: number;
  readonly sizeBytes: number;
}

/** Something to be brought back, by its place below the top. */
interface RestoreItem {
  readonly inode: InodeId;
  /** Begins with a slash; empty for the top itself. */
  readonly below: Uint8Array;
  readonly chunkCount: number;
}

interface RestoreJob {
  readonly masters: MasterSession;
  readonly random: Random;
  readonly call: CallOptions;
  /** What is brought back. */
  readonly kind: Attributes["kind"];
  /** As of which index. */
  readonly index: LogIndex;
  readonly target: Uint8Array;
  readonly replace: boolean;
}

/**
 * Brings back what stood at a path as of an index, by reference. It becomes visible as a whole: a
 * tree that is too large for one transaction is made beside its place and moved there by the last.
 *
 * @throws {AshlarError} NOT_FOUND if nothing stood there; ALREADY_EXISTS if something stands at the
 *   target and `replace` is false; INDEX_EXPIRED
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
  const index = (await indexAsOf(masters, { at, ...call })) as LogIndex;
  const attributes = await masters.stat({ path: source }, { ...linearizable(call), index });
  const { kind } = attributes;
  const job = { masters, random, call, kind, index, target, replace };
  const tally = new RestoreTotals(attributes);
  const committed = await restoreItems(job, itemsToRestore(job, source, tally));
  return { fromIndex: index, index: committed, ...tally.counts };
}

function checkTarget(target: Uint8Array): void {
  if (target.length > 1) return;
  throw new AshlarError(
    "INVALID_ARGUMENT",
    "Cannot restore the root in its place: expected another place: the root cannot be replaced",
    { hint: "Name a new directory to restore to" },
  );
}

/** The past is the same everywhere, but what it is compared with must be the present. */
const linearizable = (call: CallOptions): CallOptions => ({ ...call, readMode: "linearizable" });

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

/** The top, then all below it: a directory before its entries. */
async function* itemsToRestore(
  job: RestoreJob,
  source: Uint8Array,
  tally: RestoreTotals,
): AsyncGenerator<RestoreItem> {
  yield tally.count(tally.top, new Uint8Array());
  if (tally.top.kind === "file") return;
  const prefixLength = source.length === 1 ? 0 : source.length;
  for await (const entry of walk(job.masters, source, { ...job.call, at: job.index })) {
    yield tally.count(entry.attributes, entry.path.subarray(prefixLength));
  }
}

/** @returns the index of the last commit. */
async function restoreItems(job: RestoreJob, wanted: AsyncIterable<RestoreItem>): Promise<number> {
  const steps = stepsOf(job, wanted);
  const first = (await steps.next()).value as readonly RestoreItem[];
  const second = await steps.next();
  if (second.done === true) {
    const inPlace = first.map((item) => operationOf(job, item, job.target));
    return await commit(job, [...(await removalsBefore(job)), ...inPlace]);
  }
  const staging = stagingOf(job);
  try {
    await commit(job, first.map(toStaging));
    await commit(job, second.value.map(toStaging));
    for await (const step of steps) await commit(job, step.map(toStaging));
    const move = { kind: "rename", from: { path: staging }, to: { path: job.target } } as const;
    return await commit(job, [...(await removalsBefore(job)), { ...move, noReplace: true }]);
  } catch (error) {
    await removeStaging(job, staging);
    throw error;
  }

  function toStaging(item: RestoreItem): Operation {
    return operationOf(job, item, staging);
  }
}

/** As many items as one transaction may bring back. */
async function* stepsOf(
  { target }: RestoreJob,
  wanted: AsyncIterable<RestoreItem>,
): AsyncGenerator<readonly RestoreItem[]> {
  let step: RestoreItem[] = [];
  let pathBytes = 0;
  let chunkCount = 0;
  for await (const item of wanted) {
    const isFull =
      step.length === STEP_OPERATIONS_MAX ||
      pathBytes > STEP_PATH_BYTES_MAX ||
      chunkCount + item.chunkCount > CONTENT_CHUNKS_MAX;
    if (isFull) {
      yield step;
      step = [];
      pathBytes = 0;
      chunkCount = 0;
    }
    step.push(item);
    pathBytes += target.length + item.below.length;
    chunkCount += item.chunkCount;
  }
  yield step;
}

function operationOf(
  { index, replace }: RestoreJob,
  item: RestoreItem,
  base: Uint8Array,
): Operation {
  const to: Target = { path: concatBytes([base, item.below]) };
  // Only a single file replaces what is there; a tree finds its place cleared.
  const isTop = item.below.length === 0;
  return { kind: "restore", from: { inode: item.inode }, index, to, replace: replace && isTop };
}

/** What makes room at the target, if it may. A file is replaced by a file without that. */
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

/** A hidden name beside the target. */
function stagingOf({ target, random }: RestoreJob): Uint8Array {
  const parent = target.subarray(0, target.lastIndexOf(0x2f) + 1);
  const name = new TextEncoder().encode(`.ashlar-restore-${toHex(random.bytes(8))}`);
  return concatBytes([parent, name]);
}

async function commit(job: RestoreJob, operations: readonly Operation[]): Promise<number> {
  const { index } = await job.masters.transact({ preconditions: [], operations }, job.call);
  return index;
}

/** Best effort: what stays behind is hidden, and can be removed at any time. */
async function removeStaging(job: RestoreJob, staging: Uint8Array): Promise<void> {
  const { timeoutMs } = job.call;
  const call = timeoutMs === undefined ? {} : { timeoutMs };
  const operations: Operation[] = [{ kind: "remove-tree", target: { path: staging } }];
  try {
    await commit({ ...job, call }, operations);
  } catch {
    // The first failure is what the caller hears of.
  }
}
