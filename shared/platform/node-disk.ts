import fs from "node:fs";
import { mkdir, readdir, readFile, rename, rm, stat, statfs, unlink } from "node:fs/promises";
import { dirname, resolve as resolvePath } from "node:path";
import { assert } from "../base/assert.ts";
import type { Disk, DiskEntry, DiskFile, DiskSpace } from "../ports/disk.ts";
import { diskError, errnoOf } from "./disk-error.ts";
import { diskPathNames, diskPathParent } from "./disk-path.ts";
import { closeDescriptor, NodeDiskFile, openDescriptor, syncDescriptor } from "./node-disk-file.ts";
import { PageMemory } from "./page-memory.ts";

const { O_CREAT, O_DIRECTORY, O_EXCL, O_NONBLOCK, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY } =
  fs.constants;

const FLAGS_OF_MODE = {
  // A FIFO in place of a file fails at the first read. Without O_NONBLOCK its open would block.
  read: O_RDONLY | O_NONBLOCK,
  "read-write": O_RDWR,
  create: O_RDWR | O_CREAT | O_EXCL,
} as const;

/** Small durable files contain identities and keys, so only the owner may read them. */
const DURABLE_FILE_MODE = 0o600;

/**
 * A directory of the local file system. Only `makeDirectory(".")` creates it, so that a disk that
 * is not mounted is NOT_FOUND and not an empty directory.
 */
export class NodeDisk implements Disk {
  readonly #root: string;
  readonly #memory = new PageMemory();
  #temporaryCount = 0;

  constructor(rootPath: string) {
    this.#root = resolvePath(rootPath);
  }

  async open(path: string, mode: "read" | "read-write" | "create"): Promise<DiskFile> {
    const absolute = this.#absolute(path);
    const flags = FLAGS_OF_MODE[mode];
    return new NodeDiskFile(await openDescriptor(absolute, flags), absolute, flags);
  }

  async readFile(path: string): Promise<Uint8Array> {
    const absolute = this.#absolute(path);
    const buffer = await attempt("read", absolute, () => readFile(absolute));
    return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.length);
  }

  async writeFileDurably(path: string, bytes: Uint8Array): Promise<void> {
    const absolute = this.#absolute(path);
    this.#temporaryCount += 1;
    const temporary = `${absolute}.${this.#temporaryCount}.tmp`;
    try {
      await writeWhole(temporary, bytes);
      await attempt("replace", absolute, () => rename(temporary, absolute));
    } catch (error) {
      await rm(temporary, { force: true }).catch(() => {}); // The first error is reported.
      throw error;
    }
    await this.syncDirectory(diskPathParent(path));
  }

  async makeDirectory(path: string): Promise<void> {
    const names = diskPathNames(path);
    await makeRoot(this.#root);
    let directory = this.#root;
    for (const name of names) {
      const parent = directory;
      directory = `${directory}/${name}`;
      await makeSingleDirectory(directory);
      // Sync even if the directory existed: the process that created it may have crashed before its
      // sync.
      await syncAbsoluteDirectory(parent);
    }
  }

  async list(path: string): Promise<readonly DiskEntry[]> {
    const absolute = this.#absolute(path);
    const found = await attempt("list", absolute, () => readdir(absolute, { withFileTypes: true }));
    const entries = found.map((entry) => ({ name: entry.name, kind: kindOf(entry) }));
    return entries.sort((left, right) => (left.name < right.name ? -1 : 1));
  }

  async rename(from: string, to: string): Promise<void> {
    const absoluteFrom = this.#absolute(from);
    const absoluteTo = this.#absolute(to);
    await attempt("rename", absoluteFrom, () => rename(absoluteFrom, absoluteTo));
  }

  async remove(path: string): Promise<void> {
    const absolute = this.#absolute(path);
    try {
      await unlink(absolute);
    } catch (error) {
      if (errnoOf(error) !== "ENOENT") throw diskError("remove", absolute, error);
    }
  }

  async removeTree(path: string): Promise<void> {
    assert(diskPathNames(path).length > 0, "the data directory itself is not removed");
    const absolute = this.#absolute(path);
    await attempt("remove", absolute, () => rm(absolute, { recursive: true, force: true }));
  }

  async syncDirectory(path: string): Promise<void> {
    await syncAbsoluteDirectory(this.#absolute(path));
  }

  allocate(lengthBytes: number): Uint8Array {
    return this.#memory.allocate(lengthBytes);
  }

  async space(): Promise<DiskSpace> {
    const { bsize, blocks, bavail } = await attempt("measure", this.#root, () =>
      statfs(this.#root),
    );
    const { dev } = await attempt("measure", this.#root, () => stat(this.#root));
    return { totalBytes: blocks * bsize, availableBytes: bavail * bsize, diskId: String(dev) };
  }

  #absolute(path: string): string {
    const names = diskPathNames(path);
    return names.length === 0 ? this.#root : `${this.#root}/${names.join("/")}`;
  }
}

function kindOf(entry: fs.Dirent): DiskEntry["kind"] {
  if (entry.isFile()) return "file";
  return entry.isDirectory() ? "directory" : "other";
}

async function attempt<T>(action: string, absolute: string, call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    throw diskError(action, absolute, error);
  }
}

async function writeWhole(absolute: string, bytes: Uint8Array): Promise<void> {
  const flags = O_WRONLY | O_CREAT | O_TRUNC;
  const descriptor = await openDescriptor(absolute, flags, DURABLE_FILE_MODE);
  const file = new NodeDiskFile(descriptor, absolute, flags);
  try {
    await file.write([bytes], 0);
    await file.sync();
  } finally {
    await file.close();
  }
}

async function makeRoot(absolute: string): Promise<void> {
  const firstMade = await attempt("create", absolute, () => mkdir(absolute, { recursive: true }));
  const last = dirname(firstMade ?? absolute);
  for (let directory = dirname(absolute); ; directory = dirname(directory)) {
    try {
      await syncAbsoluteDirectory(directory);
    } catch (error) {
      // An administrator created the data directory in a directory that this process cannot open.
      // The sync is then the administrator's task.
      if (firstMade !== undefined || errnoOf((error as Error).cause) !== "EACCES") throw error;
    }
    if (directory === last) return;
  }
}

async function makeSingleDirectory(absolute: string): Promise<void> {
  try {
    await mkdir(absolute);
  } catch (error) {
    const exists = errnoOf(error) === "EEXIST" && (await isDirectory(absolute));
    if (!exists) throw diskError("create", absolute, error);
  }
}

async function isDirectory(absolute: string): Promise<boolean> {
  return new Promise((resolve) => {
    fs.stat(absolute, (error, stats) => resolve(error === null && stats.isDirectory()));
  });
}

async function syncAbsoluteDirectory(absolute: string): Promise<void> {
  const descriptor = await openDescriptor(absolute, O_RDONLY | O_DIRECTORY);
  try {
    await syncDescriptor(descriptor, absolute);
  } finally {
    await closeDescriptor(descriptor, absolute);
  }
}
