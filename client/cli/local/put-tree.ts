import { AshlarError, isAshlarError } from "../../../shared/base/errors.ts";
import { pathErrorMessage } from "../../../shared/base/path-errors.ts";
import { statOrNull } from "../exists.ts";
import type { LocalPath } from "../local-path.ts";
import { childPath, type RemotePath, remotePath } from "../remote-paths.ts";
import { keptAttributes, newDirectoryMode, type PutJob, type Upload } from "./put-job.ts";
import { type LocalEntry, type WalkedEntry, walkLocal } from "./walk-local.ts";

/** A directory whose attributes are set at the end. */
type Finish = Upload & { readonly kind: "finish" };

/**
 * Yields the files below a local directory, in the order of the walk. Directories are made on the way;
 * their modes and times are set after all files of the tree were put. An entry that cannot be put is
 * yielded as failed, what is below it is left out, and the walk continues.
 */
export async function* uploadsOfTree(
  job: PutJob,
  root: { readonly path: LocalPath; readonly stats: LocalEntry["stats"] },
  target: RemotePath,
): AsyncGenerator<Upload, void, void> {
  const { context } = job;
  const finishes: Finish[] = [];
  await makeRoot(job, root, { target, finishes });
  yield { kind: "made" };
  for await (const entry of walkLocal(root.path)) {
    context.signal.throwIfAborted();
    const upload = await uploadOf(job, entry, { root: target, finishes });
    if (upload !== null) yield upload;
  }
  await job.pending.idle(); // A file that is put changes the time of its directory.
  yield* finishes.reverse();
}

/** Returns the upload of an entry; null if it is left out on purpose. Makes a directory. */
async function uploadOf(
  job: PutJob,
  entry: WalkedEntry,
  { root, finishes }: { readonly root: RemotePath; readonly finishes: Finish[] },
): Promise<Upload | null> {
  const { context, report } = job;
  if (entry.kind === "temporary") {
    report.differs("temporary", entry.path.text);
    return null;
  }
  // The filter selects files. It does not hide that a directory was not read.
  const hasEntries = entry.kind === "failed" ? entry.canHaveEntries : entry.kind === "directory";
  if (!hasEntries && !job.filter(entry.relative)) return null;
  if (entry.kind === "failed") return entry;
  if (entry.kind === "unsupported") return { kind: "failed", error: entry.error };
  const target = remotePath(childPath(root.bytes, entry.relative));
  if (entry.kind === "file") {
    if (entry.isLink) report.differs("links", entry.path.text);
    else if (entry.stats.nlink > 1n) report.differs("hard_links", entry.path.text);
    return { kind: "file", entry, target, isInTree: true };
  }
  try {
    await makeEntry(job, entry, { target, finishes });
    return { kind: "made" };
  } catch (error) {
    if (context.signal.aborted) throw error;
    entry.skip();
    return { kind: "failed", error };
  }
}

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

/** Makes a directory below the root. */
async function makeEntry(
  job: PutJob,
  entry: LocalEntry,
  { target, finishes }: DirectoryTarget,
): Promise<void> {
  if (job.options["dryRun"] === true) return;
  const { signal } = job.context;
  const fileSystem = await job.context.fileSystem();
  const { whileFilled } = newDirectoryMode(job, entry);
  let existed = false;
  try {
    await fileSystem.mkdir(target.bytes, { mode: whileFilled, signal });
  } catch (error) {
    if (!isAshlarError(error, "ALREADY_EXISTS")) throw error;
    existed = true;
    const found = await fileSystem.stat(target.bytes, { signal });
    if (found.kind !== "directory") {
      throw new AshlarError("NOT_A_DIRECTORY", pathErrorMessage("NOT_A_DIRECTORY", target.text));
    }
  }
  finish(job, entry, { target, finishes, existed });
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
