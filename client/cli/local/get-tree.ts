import type { Attributes } from "../../../shared/protocol/attributes.ts";
import type { LocalPath } from "../local-path.ts";
import { isBelow, type RemotePath, remotePath } from "../remote-paths.ts";
import { type Download, type GetJob, localAttributes } from "./get-job.ts";
import { makeLocalDirectory, OWNER_BITS } from "./local-directory.ts";
import { removeLeftovers } from "./temporary-files.ts";

const PERMISSION_BITS = 0o777;

/** A directory whose attributes are set at the end. */
type Finish = Download & { readonly kind: "finish" };

/**
 * Yields the files below a directory of the cluster. Local directories are made on the way; their
 * modes and times are set after all files of the tree were written. If a directory cannot be made,
 * it is yielded as failed, what is below it is left out, and the walk continues.
 */
export async function* downloadsOfTree(
  job: GetJob,
  root: { readonly source: RemotePath; readonly attributes: Attributes },
  target: LocalPath,
): AsyncGenerator<Download, void, void> {
  const { context, readOptions } = job;
  const fileSystem = await context.fileSystem();
  const finishes: Finish[] = [];
  await makeDirectory(job, root.attributes, { target, finishes });
  yield { kind: "made" };
  const directory = target.withoutSlashes();
  const prefixLength = root.source.bytes.length === 1 ? 1 : root.source.bytes.length + 1;
  let failed: Uint8Array | null = null;
  for await (const { pathBytes: path, attributes } of fileSystem.walk(
    root.source.bytes,
    readOptions,
  )) {
    if (failed !== null && isBelow(path, failed)) continue;
    const relative = path.subarray(prefixLength);
    const below = directory.join(relative);
    if (attributes.kind === "file") {
      if (!job.filter(relative)) continue;
      yield { kind: "file", source: remotePath(path), attributes, target: below };
      continue;
    }
    const made = await tryMakeDirectory(job, attributes, { target: below, finishes });
    if (made.kind === "failed") failed = path;
    yield made;
  }
  // One at a time, entries before their directory: its mode can refuse the access to them.
  for (const finish of finishes.reverse()) {
    await job.pending.idle();
    yield finish;
  }
}

interface DirectoryTarget {
  readonly target: LocalPath;
  readonly finishes: Finish[];
}

/** As `makeDirectory`. Returns an error that is not the end of the command. */
async function tryMakeDirectory(
  job: GetJob,
  attributes: Attributes,
  directory: DirectoryTarget,
): Promise<Download> {
  try {
    await makeDirectory(job, attributes, directory);
    return { kind: "made" };
  } catch (error) {
    if (job.context.signal.aborted) throw error;
    return { kind: "failed", error };
  }
}

async function makeDirectory(
  job: GetJob,
  attributes: Attributes,
  { target, finishes }: DirectoryTarget,
): Promise<void> {
  if (job.options["dryRun"] === true) return;
  const isPreserved = job.options["preserve"] === true;
  const own = localAttributes(job, attributes);
  // With --preserve, no other user sees the entries before the final mode is set.
  const whileFilled = isPreserved ? OWNER_BITS : (own.mode & PERMISSION_BITS) | OWNER_BITS;
  const isNew = await makeLocalDirectory(target, whileFilled);
  if (!isNew) await removeLeftovers(target);
  if (isPreserved || (isNew && whileFilled !== own.mode)) {
    finishes.push({ kind: "finish", target, attributes: own });
  }
}
