import { constants } from "node:fs";
import { open, rm, rmdir, stat, unlink } from "node:fs/promises";
import { AshlarError } from "../../../shared/base/errors.ts";
import { shownTime } from "../../../shared/base/times.ts";
import type { AttributeChanges } from "../../options.ts";
import { applyAttributes } from "../local/local-attributes.ts";
import { makeLocalDirectory } from "../local/local-directory.ts";
import { localError } from "../local/local-error.ts";
import { keptAttributes } from "../local/put-job.ts";
import { type LocalEntry, walkLocal } from "../local/walk-local.ts";
import type { LocalPath } from "../local-path.ts";
import type { SyncAttributes, SyncDirectory, SyncEntry, SyncTree } from "./sync-tree.ts";

const MODE_BITS = 0o7777;
const { O_NONBLOCK, O_RDONLY } = constants;

/** A directory on this machine, as the source or the target of a sync. */
export class LocalTree implements SyncTree {
  readonly place = "local";
  /** Only a privileged process may give a file away, see chown(2). */
  readonly keepsOwners = process.getuid?.() === 0;
  readonly #root: LocalPath;
  readonly #onTemporary: (path: LocalPath) => Promise<void>;

  /** @param onTemporary is called for each temporary file of a get */
  constructor(root: LocalPath, onTemporary: (path: LocalPath) => Promise<void>) {
    this.#root = root;
    this.#onTemporary = onTemporary;
  }

  /** Returns the path of an entry. */
  pathOf(relative: Uint8Array): LocalPath {
    return relative.length === 0 ? this.#root : this.#root.join(relative);
  }

  textOf(relative: Uint8Array): string {
    return this.pathOf(relative).text;
  }

  bytesOf(relative: Uint8Array): Uint8Array {
    return this.pathOf(relative).bytes;
  }

  async root(): Promise<SyncDirectory | null> {
    try {
      const stats = await stat(this.#root.systemPath, { bigint: true });
      if (stats.isDirectory()) {
        return {
          kind: "directory",
          relative: Buffer.alloc(0),
          attributes: attributesOf({ stats }),
        };
      }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
      throw localError(error, "read", this.#root);
    }
    throw new AshlarError(
      "NOT_A_DIRECTORY",
      `Cannot sync the local path ${this.#root.text}: not a directory`,
      { hint: "ashlar put and ashlar get copy single files" },
    );
  }

  async *walk(relative: Buffer): AsyncGenerator<SyncEntry, void, void> {
    for await (const entry of walkLocal(this.pathOf(relative))) {
      if (entry.kind === "temporary") {
        await this.#onTemporary(entry.path);
        continue;
      }
      const own = { relative: this.#relativeOf(relative, entry.relative) };
      if (entry.kind === "failed" || entry.kind === "unsupported") yield { ...entry, ...own };
      else if (entry.kind === "directory") {
        yield { kind: "directory", attributes: attributesOf(entry), ...own };
      } else {
        const content = { place: "local", entry } as const;
        const sizeBytes = Number(entry.stats.size);
        yield { kind: "file", attributes: attributesOf(entry), sizeBytes, content, ...own };
      }
    }
  }

  async makeDirectory(relative: Buffer, mode: number): Promise<void> {
    await makeLocalDirectory(this.pathOf(relative), mode);
  }

  async setAttributes(
    { relative }: Pick<SyncEntry, "relative">,
    changes: AttributeChanges,
  ): Promise<boolean> {
    const path = this.pathOf(relative);
    try {
      await using file = await open(path.systemPath, O_RDONLY | O_NONBLOCK);
      const own = await file.stat();
      const { mode = own.mode & MODE_BITS, uid = own.uid, gid = own.gid } = changes;
      const { mtimeMs = null } = changes;
      return await applyAttributes(file.fd, { mode, owner: { uid, gid }, mtimeMs });
    } catch (error) {
      throw localError(error, "set the attributes of", path);
    }
  }

  async remove({ kind, relative }: Pick<SyncEntry, "kind" | "relative">): Promise<void> {
    const path = this.pathOf(relative);
    try {
      if (kind === "directory") await rm(path.systemPath, { recursive: true, force: true });
      else await unlink(path.systemPath);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return;
      throw localError(error, "remove", path);
    }
  }

  async removeIfEmpty(relative: Buffer): Promise<boolean> {
    const path = this.pathOf(relative);
    try {
      await rmdir(path.systemPath);
      return true;
    } catch (error) {
      const { code = "" } = error as NodeJS.ErrnoException;
      if (["ENOTEMPTY", "EEXIST", "ENOENT"].includes(code)) return false;
      throw localError(error, "remove", path);
    }
  }

  #relativeOf(directory: Buffer, below: Buffer): Buffer {
    if (directory.length === 0 || below.length === 0) return below.length === 0 ? directory : below;
    return Buffer.concat([directory, Buffer.from("/"), below]);
  }
}

function attributesOf(entry: Pick<LocalEntry, "stats">): SyncAttributes {
  const { mtimeMs, ...attributes } = keptAttributes(entry);
  // The cluster stores no other times.
  return { ...attributes, mtimeMs: shownTime(mtimeMs) };
}
