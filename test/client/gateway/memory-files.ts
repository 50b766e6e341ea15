import type { GatewayFiles } from "../../../client/gateway/gateway-request.ts";
import type { Attributes, FileAttributes, Operation, Precondition } from "../../../client/index.ts";
import type { ListPageOptions, PutOptions, PutSource } from "../../../client/options.ts";
import type {
  Committed,
  DirectoryEntry,
  FileHandle,
  ListPage,
  PutResult,
  Slab,
} from "../../../client/results.ts";
import { compareBytes, concatBytes, equalBytes } from "../../../shared/base/bytes.ts";
import { AshlarError } from "../../../shared/base/errors.ts";
import { displayName, joinPath, type PathInput, parsePath } from "../../../shared/base/path.ts";
import { pathErrorMessage } from "../../../shared/base/path-errors.ts";
import { createHasher } from "../../../shared/platform/hasher.ts";

interface StoredFile {
  readonly bytes: Uint8Array;
  readonly attributes: FileAttributes;
}

const MTIME_MS = Date.UTC(2026, 10, 21, 9, 14, 30, 250);
const SLAB_BYTES = 1024 * 1024;
const COMMON = { mode: 0o644, uid: 0, gid: 0, ctimeMs: MTIME_MS, atimeMs: MTIME_MS };

/**
 * The part of a file system that the gateway uses, in memory, for tests of its HTTP. The tests in
 * test/cluster run the gateway with the real library.
 */
export class MemoryFiles implements Omit<GatewayFiles, "status"> {
  readonly #files = new Map<string, StoredFile>();
  readonly #directories = new Set<string>(["/"]);
  readonly #hasher = createHasher().hasher;
  #index = 0;
  openHandles = 0;
  writesStarted = 0;
  /** Reads in progress, which hold buffers, and their highest number so far. */
  openReads = 0;
  openReadsMax = 0;
  /** Paths of all writes so far, as Latin-1. */
  readonly writtenPaths: string[] = [];

  /** Paths of all files, as Latin-1. */
  get paths(): string[] {
    return [...this.#files.keys()].sort();
  }

  get lastIndex(): number {
    return this.#index;
  }

  bytesOf(path: string): Uint8Array | undefined {
    return this.#files.get(path)?.bytes;
  }

  stat(path: PathInput): Promise<Attributes> {
    const key = keyOf(path);
    const file = this.#files.get(key);
    if (file !== undefined) return Promise.resolve(file.attributes);
    if (this.#directories.has(key)) return Promise.resolve(this.#directory());
    return Promise.reject(new AshlarError("NOT_FOUND", pathErrorMessage("NOT_FOUND", shown(key))));
  }

  async *#list(path: PathInput): AsyncGenerator<DirectoryEntry> {
    const key = keyOf(path);
    const prefix = key === "/" ? "/" : `${key}/`;
    const keys = [...this.#files.keys(), ...this.#directories].sort();
    for (const each of keys) {
      const rest = each.slice(prefix.length);
      if (!each.startsWith(prefix) || rest === "" || rest.includes("/")) continue;
      const name = Buffer.from(rest, "latin1");
      const attributes = this.#files.get(each)?.attributes ?? this.#directory();
      yield { name, displayName: displayName(name), attributes };
    }
  }

  async listPage(
    path: PathInput,
    { cursor, limit = 1_000 }: ListPageOptions = {},
  ): Promise<ListPage> {
    const entries: DirectoryEntry[] = [];
    for await (const entry of this.#list(path)) {
      if (cursor !== undefined && compareBytes(entry.name, cursor.after) <= 0) continue;
      if (entries.length === limit) {
        const after = entries.at(-1)?.name ?? entry.name;
        return { index: this.#index, entries, next: { index: this.#index, after } };
      }
      entries.push(entry);
    }
    return { index: this.#index, entries, next: null };
  }

  async open(path: PathInput): Promise<FileHandle> {
    const attributes = await this.stat(path);
    if (attributes.kind === "directory") {
      throw new AshlarError(
        "IS_A_DIRECTORY",
        pathErrorMessage("IS_A_DIRECTORY", shown(keyOf(path))),
      );
    }
    const { bytes } = this.#files.get(keyOf(path)) as StoredFile;
    this.openHandles += 1;
    const slabs = async function* (
      this: MemoryFiles,
      range: { start?: number; end?: number } = {},
    ): AsyncGenerator<Slab> {
      this.openReads += 1;
      this.openReadsMax = Math.max(this.openReadsMax, this.openReads);
      try {
        const end = range.end ?? bytes.length;
        for (let at = range.start ?? 0; at < end; at += SLAB_BYTES) {
          const part = bytes.subarray(at, Math.min(end, at + SLAB_BYTES));
          yield { bytes: part, positionBytes: at, release: () => {} };
        }
      } finally {
        this.openReads -= 1;
      }
    }.bind(this);
    const close = (): Promise<void> => {
      this.openHandles -= 1;
      return Promise.resolve();
    };
    return { attributes, slabs, close, stat: () => attributes } as unknown as FileHandle;
  }

  async writeFile(
    path: PathInput,
    source: PutSource,
    options: PutOptions = {},
  ): Promise<PutResult> {
    this.writesStarted += 1;
    const parts: Uint8Array[] = [];
    for await (const part of source as AsyncIterable<Uint8Array>) {
      options.signal?.throwIfAborted();
      parts.push(part);
    }
    options.signal?.throwIfAborted();
    for (const precondition of options.preconditions ?? []) this.#check(precondition);
    const key = keyOf(path);
    this.writtenPaths.push(key);
    this.#requireParent(key);
    if (options.replace === false && this.#files.has(key)) throw nameTaken(key);
    const bytes = concatBytes(parts);
    const contentRoot = this.#hasher.hash(bytes);
    this.#index += 1;
    const attributes: FileAttributes = {
      ...COMMON,
      kind: "file",
      inode: this.#index,
      mtimeMs: MTIME_MS,
      version: this.#index,
      storageClass: "default",
      sizeBytes: bytes.length,
      chunkSizeBytes: 1024 * 1024,
      chunkCount: 1,
      isInline: false,
      contentRoot,
      copiesWanted: 3,
    } as FileAttributes;
    this.#files.set(key, { bytes, attributes });
    return {
      ...this.#committed(),
      sizeBytes: bytes.length,
      chunkCount: 1,
      sentBytes: bytes.length,
      contentRoot,
      chunksUnderReplicated: 0,
    };
  }

  mkdir(path: PathInput, options: { readonly parents?: boolean } = {}): Promise<Committed> {
    const key = keyOf(path);
    if (this.#directories.has(key) && options.parents !== true)
      return Promise.reject(nameTaken(key));
    const names = key.split("/").slice(1);
    if (options.parents === true) {
      for (let depth = 1; depth <= names.length; depth += 1) {
        this.#directories.add(`/${names.slice(0, depth).join("/")}`);
      }
    } else this.#requireParent(key);
    this.#directories.add(key);
    return Promise.resolve(this.#committed());
  }

  unlink(path: PathInput): Promise<Committed> {
    this.#files.delete(keyOf(path));
    return Promise.resolve(this.#committed());
  }

  rmdir(path: PathInput): Promise<Committed> {
    const key = keyOf(path);
    const isEmpty = [...this.#files.keys(), ...this.#directories].every(
      (each) => !each.startsWith(`${key}/`),
    );
    if (!isEmpty) {
      return Promise.reject(
        new AshlarError("NOT_EMPTY", pathErrorMessage("NOT_EMPTY", shown(key))),
      );
    }
    this.#directories.delete(key);
    return Promise.resolve(this.#committed());
  }

  removeTree(path: PathInput): Promise<Committed> {
    const key = keyOf(path);
    for (const each of [...this.#files.keys()]) {
      if (each.startsWith(`${key}/`)) this.#files.delete(each);
    }
    for (const each of [...this.#directories]) {
      if (each === key || each.startsWith(`${key}/`)) this.#directories.delete(each);
    }
    return Promise.resolve(this.#committed());
  }

  async transact(
    operations: readonly Operation[],
    preconditions: readonly Precondition[] = [],
  ): Promise<{ readonly index: number; readonly inodes: readonly (number | null)[] }> {
    for (const precondition of preconditions) this.#check(precondition);
    for (const operation of operations) await this.#apply(operation);
    return { index: this.#index, inodes: [] };
  }

  #check(precondition: Precondition): void {
    const key = keyOf(precondition.target.path ?? "/");
    const attributes = this.#files.get(key)?.attributes;
    const holds =
      precondition.kind === "absent"
        ? attributes === undefined
        : attributes !== undefined &&
          (precondition.kind !== "content-root" ||
            equalBytes(precondition.root, attributes.contentRoot)) &&
          (precondition.kind !== "version" || precondition.version === attributes.version);
    if (!holds)
      throw new AshlarError(
        "PRECONDITION_FAILED",
        `Cannot change ${shown(key)}: precondition failed`,
      );
  }

  async #apply(operation: Operation): Promise<void> {
    switch (operation.kind) {
      case "unlink":
        await this.unlink(operation.target.path ?? "/");
        return;
      case "remove-directory":
        await this.rmdir(operation.target.path ?? "/");
        return;
      case "remove-tree":
        await this.removeTree(operation.target.path ?? "/");
        return;
      default:
        throw new AshlarError("UNSUPPORTED", `Cannot ${operation.kind} in memory`);
    }
  }

  #requireParent(key: string): void {
    const parent = key.slice(0, key.lastIndexOf("/")) || "/";
    if (this.#directories.has(parent)) return;
    throw new AshlarError("NOT_FOUND", pathErrorMessage("NOT_FOUND", shown(parent)));
  }

  #directory(): Attributes {
    return {
      ...COMMON,
      kind: "directory",
      inode: 1,
      mtimeMs: MTIME_MS,
      version: 1,
      storageClass: "default",
      entryCount: 0,
    } as Attributes;
  }

  #committed(): Committed {
    this.#index += 1;
    return { index: this.#index, inode: this.#index };
  }
}

function keyOf(path: PathInput): string {
  return Buffer.from(joinPath(parsePath(path))).toString("latin1");
}

function shown(key: string): string {
  return displayName(Buffer.from(key, "latin1"));
}

function nameTaken(key: string): AshlarError {
  return new AshlarError("ALREADY_EXISTS", pathErrorMessage("ALREADY_EXISTS", shown(key)));
}
