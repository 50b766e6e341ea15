import { equalBytes } from "../../../shared/base/bytes.ts";
import type { FileSystem } from "../../file-system.ts";
import type { FillSource } from "../../options.ts";
import type { Slab } from "../../results.ts";
import type { CommandContext } from "../command.ts";
import { LocalSource } from "../local/local-source.ts";
import { keptAttributes } from "../local/put-job.ts";
import { hasSameContent } from "../local/same-content.ts";
import { writeLocal } from "../local/write-local.ts";
import type { ClusterTree } from "./cluster-tree.ts";
import type { LocalTree } from "./local-tree.ts";
import type { SyncFile, SyncTree } from "./sync-tree.ts";

const PERMISSION_BITS = 0o777;

/** A write of one file. */
export interface FileWrite {
  readonly source: SyncFile;
  readonly replace: boolean;
  readonly isPreserved: boolean;
  readonly onProgress: (bytes: number) => void;
  /** Called if the source cannot be read. An error of the target does not call it. */
  readonly onSourceError: () => void;
}

/** A source and a target, and the way of files from one to the other. */
export interface SyncPair {
  readonly source: SyncTree;
  readonly target: SyncTree;
  /** Returns the permission bits of a new file or directory without --preserve. */
  newMode(mode: number): number;
  /** Compares the content of two files of one size. The hashes of the cluster are not computed again. */
  hasSameContent(source: SyncFile, target: SyncFile): Promise<boolean>;
  /**
   * Writes a file with the time of its source, and publishes it whole.
   *
   * @returns whether the owner was kept, if it was asked for
   */
  writeFile(write: FileWrite): Promise<boolean>;
}

/** The pair from this machine to the cluster. */
export function uploadPair(
  context: CommandContext,
  fileSystem: FileSystem,
  trees: { readonly source: LocalTree; readonly target: ClusterTree },
): SyncPair {
  const { signal } = context;
  return {
    ...trees,
    newMode: (mode) => mode & PERMISSION_BITS & ~context.env.umask,
    hasSameContent: (source, target) => localMatches(source, target, signal),
    async writeFile({ source, replace, isPreserved, onProgress, onSourceError }) {
      const { content, attributes, sizeBytes } = source;
      if (content.place !== "local") return false;
      await using file = await LocalSource.open(content.entry.path, {
        signal,
        isRegularOnly: true,
      }).catch((error: unknown) => {
        onSourceError();
        throw error;
      });
      await fileSystem.writeFile(
        trees.target.pathOf(source.relative).bytes,
        watchedSource(file, onSourceError),
        {
          ...(isPreserved
            ? { ...keptAttributes(content.entry), replaceAttributes: true }
            : { mode: attributes.mode & PERMISSION_BITS & ~context.env.umask }),
          mtimeMs: attributes.mtimeMs,
          sizeHint: sizeBytes,
          replace,
          onProgress,
          signal,
        },
      );
      return true;
    },
  };
}

/** The pair from the cluster to this machine. */
export function downloadPair(
  context: CommandContext,
  fileSystem: FileSystem,
  trees: { readonly source: ClusterTree; readonly target: LocalTree },
): SyncPair {
  const { signal } = context;
  const newMode = (mode: number): number => mode & PERMISSION_BITS & ~context.env.umask;
  return {
    ...trees,
    newMode,
    hasSameContent: (source, target) => localMatches(target, source, signal),
    async writeFile({ source, replace, isPreserved, onProgress, onSourceError }) {
      const { relative, attributes } = source;
      const { mode, uid, gid, mtimeMs } = attributes;
      const slabs = fileSystem.readSlabs(trees.source.pathOf(relative).bytes, { signal });
      return writeLocal(trees.target.pathOf(relative), watchedSlabs(slabs, onSourceError), {
        signal,
        waits: context.waits,
        onProgress,
        replace,
        preserve: isPreserved,
        attributes: isPreserved
          ? { mode, owner: { uid, gid }, mtimeMs }
          : { mode: newMode(mode), owner: null, mtimeMs },
      });
    },
  };
}

/** The pair within the cluster. Files are copied by reference, no data is read. */
export function copyPair(
  context: CommandContext,
  fileSystem: FileSystem,
  trees: { readonly source: ClusterTree; readonly target: ClusterTree },
): SyncPair {
  const { signal } = context;
  return {
    ...trees,
    newMode: (mode) => mode,
    hasSameContent: ({ content: left }, { content: right }) =>
      Promise.resolve(
        left.place === "cluster" &&
          right.place === "cluster" &&
          left.attributes.chunkSizeBytes === right.attributes.chunkSizeBytes &&
          equalBytes(left.attributes.contentRoot, right.attributes.contentRoot),
      ),
    async writeFile({ source, replace, isPreserved, onProgress, onSourceError }) {
      const { content, relative, attributes, sizeBytes } = source;
      if (content.place !== "cluster") return false;
      const from = content.path.bytes;
      const to = trees.target.pathOf(relative).bytes;
      try {
        // The time must be that of the content, also if another client replaces the source now.
        await fileSystem
          .transaction()
          .ifVersion(from, content.attributes.version)
          .copy(from, to, { replace, preserve: isPreserved })
          .setAttributes(to, { mtimeMs: attributes.mtimeMs })
          .commit({ signal });
      } catch (error) {
        onSourceError();
        throw error;
      }
      onProgress(sizeBytes);
      return true;
    },
  };
}

/** Returns whether a local file has the content root of a file in the cluster. */
async function localMatches(
  local: SyncFile,
  remote: SyncFile,
  signal: AbortSignal,
): Promise<boolean> {
  if (local.content.place !== "local" || remote.content.place !== "cluster") return false;
  return hasSameContent(local.content.entry.path, remote.content.attributes, signal);
}

function watchedSource(source: FillSource, onError: () => void): FillSource {
  return {
    fill: (target) =>
      source.fill(target).catch((error: unknown) => {
        onError();
        throw error;
      }),
  };
}

async function* watchedSlabs(
  slabs: AsyncIterable<Slab>,
  onError: () => void,
): AsyncGenerator<Slab> {
  try {
    yield* slabs;
  } catch (error) {
    onError();
    throw error;
  }
}
