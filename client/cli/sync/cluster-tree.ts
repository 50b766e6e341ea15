import { AshlarError, isAshlarError } from "../../../shared/base/errors.ts";
import { pathErrorMessage } from "../../../shared/base/path-errors.ts";
import type { Attributes } from "../../../shared/protocol/attributes.ts";
import type { FileSystem } from "../../file-system.ts";
import type { AttributeChanges } from "../../options.ts";
import { statOrNull } from "../exists.ts";
import { childPath, type RemotePath, remotePath } from "../remote-paths.ts";
import type { SyncAttributes, SyncDirectory, SyncEntry, SyncTree } from "./sync-tree.ts";

/** A directory in the cluster, as the source or the target of a sync. */
export class ClusterTree implements SyncTree {
  readonly place = "cluster";
  readonly keepsOwners = true;
  readonly #fileSystem: FileSystem;
  readonly #root: RemotePath;
  readonly #signal: AbortSignal;

  constructor(fileSystem: FileSystem, root: RemotePath, signal: AbortSignal) {
    this.#fileSystem = fileSystem;
    this.#root = root;
    this.#signal = signal;
  }

  /** Returns the path of an entry. */
  pathOf(relative: Uint8Array): RemotePath {
    return relative.length === 0 ? this.#root : remotePath(childPath(this.#root.bytes, relative));
  }

  textOf(relative: Uint8Array): string {
    return `ashlar:${this.pathOf(relative).text}`;
  }

  bytesOf(relative: Uint8Array): Uint8Array {
    return this.pathOf(relative).bytes;
  }

  async root(): Promise<SyncDirectory | null> {
    const { bytes, text } = this.#root;
    const found = await statOrNull(this.#fileSystem, bytes, { signal: this.#signal });
    if (found === null) return null;
    if (found.kind === "directory") {
      return { kind: "directory", relative: Buffer.alloc(0), attributes: attributesOf(found) };
    }
    throw new AshlarError("NOT_A_DIRECTORY", pathErrorMessage("NOT_A_DIRECTORY", text), {
      hint: "ashlar put and ashlar get copy single files",
    });
  }

  /** A directory that cannot be listed ends the walk: the masters answer for all of them or none. */
  async *walk(relative: Buffer): AsyncGenerator<SyncEntry, void, void> {
    const root = this.pathOf(relative);
    const rootLength = this.#root.bytes.length === 1 ? 1 : this.#root.bytes.length + 1;
    const signal = this.#signal;
    for await (const { pathBytes, attributes } of this.#fileSystem.walk(root.bytes, { signal })) {
      const own = {
        relative: Buffer.from(pathBytes.subarray(rootLength)),
        attributes: attributesOf(attributes),
      };
      if (attributes.kind === "directory") {
        yield { kind: "directory", ...own };
        continue;
      }
      const content = { place: "cluster", path: remotePath(pathBytes), attributes } as const;
      yield { kind: "file", ...own, sizeBytes: attributes.sizeBytes, content };
    }
  }

  async makeDirectory(relative: Buffer, mode: number): Promise<void> {
    const { bytes } = this.pathOf(relative);
    await this.#fileSystem.mkdir(bytes, { parents: true, mode, signal: this.#signal });
  }

  async setAttributes(
    { relative }: Pick<SyncEntry, "relative">,
    changes: AttributeChanges,
  ): Promise<boolean> {
    const { bytes } = this.pathOf(relative);
    await this.#fileSystem.setAttributes(bytes, changes, { signal: this.#signal });
    return true;
  }

  async remove({ kind, relative }: Pick<SyncEntry, "kind" | "relative">): Promise<void> {
    const { bytes } = this.pathOf(relative);
    const signal = this.#signal;
    try {
      if (kind === "directory") await this.#fileSystem.removeTree(bytes, { signal });
      else await this.#fileSystem.unlink(bytes, { signal });
    } catch (error) {
      if (!isAshlarError(error, "NOT_FOUND")) throw error;
    }
  }

  async removeIfEmpty(relative: Buffer): Promise<boolean> {
    try {
      await this.#fileSystem.rmdir(this.pathOf(relative).bytes, { signal: this.#signal });
      return true;
    } catch (error) {
      if (isAshlarError(error, "NOT_EMPTY") || isAshlarError(error, "NOT_FOUND")) return false;
      throw error;
    }
  }
}

function attributesOf({ mode, uid, gid, mtimeMs }: Attributes): SyncAttributes {
  return { mode, uid, gid, mtimeMs: Math.floor(mtimeMs) };
}
