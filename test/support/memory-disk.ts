import assert from "node:assert/strict";
import { diskPathNames, diskPathParent } from "../../shared/platform/disk-path.ts";
import type { Disk, DiskEntry, DiskFile } from "../../shared/ports/disk.ts";
import type { Random } from "../../shared/ports/random.ts";
import { MemoryFile } from "./memory-file.ts";
import { type DiskOperation, diskFailure, MountedFile } from "./mounted-file.ts";

/** Options of `MemoryDisk`. */
export interface MemoryDiskOptions {
  /** Capacity of the disk. Read at every write, so it may change. Default: unlimited. */
  readonly capacityBytes?: number | undefined;
  /** Called before each operation, to delay it. */
  readonly delay?: (operation: DiskOperation) => Promise<void>;
  /** Returns the errno with which an operation fails, or null. A failed `sync` loses its writes. */
  readonly fault?: (operation: DiskOperation) => "EIO" | "ENOSPC" | "EMFILE" | null;
}

type Node = MemoryFile | MemoryDirectory;

interface MemoryDirectory {
  readonly kind: "directory";
  /** The entries that a running process sees. */
  readonly current: Map<string, Node>;
  /** The entries that survive a crash. */
  readonly durable: Map<string, Node>;
}

/** A change of names that a crash may undo. `node` null removes the name. */
interface NameChange {
  readonly edits: readonly {
    readonly directory: MemoryDirectory;
    readonly name: string;
    readonly node: Node | null;
  }[];
}

function makeDirectoryNode(): MemoryDirectory {
  return { kind: "directory", current: new Map(), durable: new Map() };
}

/**
 * A disk in memory that can lose power.
 *
 * Only the changes that the Disk port guarantees are durable: names after `syncDirectory` of their
 * directory, bytes after `sync` of their file. After a crash, each directory keeps a prefix of its
 * unsynced changes (a rename between two directories is one step). Each file keeps any subset of
 * its unsynced writes, and any subset of the sectors of each kept write. After a crash, every call
 * on the `Disk` of the old process fails. The next process gets a new `Disk` from `mount`.
 */
export class MemoryDisk {
  readonly options: MemoryDiskOptions;
  readonly #root = makeDirectoryNode();
  #pending: NameChange[] = [];
  #generation = 0;

  constructor(options: MemoryDiskOptions = {}) {
    this.options = options;
  }

  /**
   * Returns the disk for a process that starts now.
   *
   * @param delay replaces `options.delay` for this process
   */
  mount(delay = this.options.delay): Disk {
    const generation = this.#generation;
    return new MountedDisk(this, { isMounted: () => this.#generation === generation, delay });
  }

  /** Ends the process while the system continues: no bytes are lost, and its later calls fail. */
  unmount(): void {
    this.#generation += 1;
  }

  /**
   * Simulates a power failure. `random` decides which unsynced changes survive completely or
   * partly.
   */
  crash(random: Random): void {
    this.#generation += 1;
    const cut = new Set<MemoryDirectory>();
    for (const change of this.#pending) {
      const directories = change.edits.map((edit) => edit.directory);
      const kept = directories.every((directory) => !cut.has(directory)) && random.fraction() < 0.5;
      if (kept) applyDurably(change);
      else for (const directory of directories) cut.add(directory);
    }
    this.#pending = [];
    restart(this.#root, random);
  }

  /** Returns a disk with the content that would survive a crash now. */
  image(options: MemoryDiskOptions = {}): MemoryDisk {
    const copy = new MemoryDisk(options);
    copyDurable(this.#root, copy.#root);
    return copy;
  }

  /** Changes the current and the durable bytes of a file without a write: bit rot. */
  corrupt(path: string, change: (bytes: Uint8Array) => void): void {
    const node = this.find(path);
    assert.ok(node instanceof MemoryFile, `${path} is a file`);
    node.corrupt(change);
  }

  /** Removes the current and the durable name of a file without an operation of a process. */
  lose(path: string): void {
    const parent = this.find(diskPathParent(path));
    assert.ok(parent !== null && !(parent instanceof MemoryFile), `${path} is in a directory`);
    const name = diskPathNames(path).at(-1) ?? "";
    parent.current.delete(name);
    parent.durable.delete(name);
  }

  /** Returns the content of a file as a process would read it. Null if there is none. */
  contentOf(path: string): Uint8Array | null {
    const node = this.find(path);
    return node instanceof MemoryFile ? node.content() : null;
  }

  /** Returns the paths of all files below a directory, sorted. */
  filesBelow(path: string): string[] {
    const node = this.find(path);
    if (node === null || node instanceof MemoryFile) return [];
    const found: string[] = [];
    for (const [name, child] of node.current) {
      const childPath = path === "" ? name : `${path}/${name}`;
      if (child instanceof MemoryFile) found.push(childPath);
      else found.push(...this.filesBelow(childPath));
    }
    return found.sort();
  }

  get usedBytes(): number {
    return bytesBelow(this.#root);
  }

  find(path: string): Node | null {
    let node: Node | undefined = this.#root;
    for (const name of diskPathNames(path)) {
      if (node === undefined || node instanceof MemoryFile) return null;
      node = node.current.get(name);
    }
    return node ?? null;
  }

  change(edits: NameChange["edits"]): void {
    for (const { directory, name, node } of edits) {
      if (node === null) directory.current.delete(name);
      else directory.current.set(name, node);
    }
    this.#pending.push({ edits });
  }

  /** fsync(2) of a directory: makes its changes durable, and the changes that they depend on. */
  syncDirectory(directory: MemoryDirectory): void {
    const touched = new Set([directory]);
    const flushed = new Set<NameChange>();
    for (const change of this.#pending.toReversed()) {
      if (!change.edits.some((edit) => touched.has(edit.directory))) continue;
      for (const edit of change.edits) touched.add(edit.directory);
      flushed.add(change);
    }
    for (const change of this.#pending) if (flushed.has(change)) applyDurably(change);
    this.#pending = this.#pending.filter((change) => !flushed.has(change));
  }
}

function applyDurably({ edits }: NameChange): void {
  for (const { directory, name, node } of edits) {
    if (node === null) directory.durable.delete(name);
    else directory.durable.set(name, node);
  }
}

/** Replaces the current entries by the durable ones, as after a reboot. */
function restart(directory: MemoryDirectory, random: Random): void {
  directory.current.clear();
  for (const [name, node] of directory.durable) {
    directory.current.set(name, node);
    if (node instanceof MemoryFile) node.crash(random);
    else restart(node, random);
  }
}

function copyDurable(from: MemoryDirectory, to: MemoryDirectory): void {
  for (const [name, node] of from.durable) {
    const copy = node instanceof MemoryFile ? node.durableCopy() : makeDirectoryNode();
    if (!(node instanceof MemoryFile)) copyDurable(node, copy as MemoryDirectory);
    to.current.set(name, copy);
    to.durable.set(name, copy);
  }
}

function bytesBelow(directory: MemoryDirectory): number {
  let total = 0;
  for (const node of directory.current.values()) {
    total += node instanceof MemoryFile ? node.lengthBytes : bytesBelow(node);
  }
  return total;
}

interface Mount {
  readonly isMounted: () => boolean;
  readonly delay: MemoryDiskOptions["delay"];
}

class MountedDisk implements Disk {
  readonly #medium: MemoryDisk;
  readonly #mount: Mount;

  constructor(medium: MemoryDisk, mount: Mount) {
    this.#medium = medium;
    this.#mount = mount;
  }

  async open(path: string, mode: "read" | "read-write" | "create"): Promise<DiskFile> {
    await this.begin({ kind: "open", path });
    const node = this.#medium.find(path);
    if (mode === "create") {
      if (node !== null) throw diskFailure("EEXIST", path);
      const file = new MemoryFile();
      this.#medium.change([{ ...this.#slot(path), node: file }]);
      return new MountedFile(this, file, { path, writable: true });
    }
    if (node === null) throw diskFailure("ENOENT", path);
    if (!(node instanceof MemoryFile)) throw diskFailure("EISDIR", path);
    return new MountedFile(this, node, { path, writable: mode === "read-write" });
  }

  async readFile(path: string): Promise<Uint8Array> {
    await this.begin({ kind: "read", path });
    const node = this.#medium.find(path);
    if (node === null) throw diskFailure("ENOENT", path);
    if (!(node instanceof MemoryFile)) throw diskFailure("EISDIR", path);
    return node.bytes();
  }

  async writeFileDurably(path: string, bytes: Uint8Array): Promise<void> {
    await this.begin({ kind: "write", path });
    this.checkSpace(bytes.length, path);
    const file = new MemoryFile();
    file.write(bytes, 0);
    const temporary = `${path}.1.tmp`;
    this.#medium.change([{ ...this.#slot(temporary), node: file }]);
    await this.begin({ kind: "sync", path });
    file.sync();
    await this.rename(temporary, path);
    await this.syncDirectory(diskPathParent(path));
  }

  async makeDirectory(path: string): Promise<void> {
    await this.begin({ kind: "make", path });
    let parent = "";
    for (const name of diskPathNames(path)) {
      const child = parent === "" ? name : `${parent}/${name}`;
      const node = this.#medium.find(child);
      if (node instanceof MemoryFile) throw diskFailure("EEXIST", child);
      if (node === null) {
        this.#medium.change([{ ...this.#slot(child), node: makeDirectoryNode() }]);
      }
      this.#medium.syncDirectory(this.#directory(parent));
      parent = child;
    }
  }

  async list(path: string): Promise<readonly DiskEntry[]> {
    await this.begin({ kind: "read", path });
    const entries = Array.from(this.#directory(path).current, ([name, node]): DiskEntry => {
      return { name, kind: node instanceof MemoryFile ? "file" : "directory" };
    });
    return entries.sort((left, right) => (left.name < right.name ? -1 : 1));
  }

  async rename(from: string, to: string): Promise<void> {
    await this.begin({ kind: "rename", path: from });
    const node = this.#medium.find(from);
    if (node === null) throw diskFailure("ENOENT", from);
    const replaced = this.#medium.find(to);
    if (replaced === node) return;
    if (replaced !== null) checkReplaceable(node, replaced, to);
    this.#medium.change([
      { ...this.#slot(from), node: null },
      { ...this.#slot(to), node },
    ]);
  }

  async remove(path: string): Promise<void> {
    await this.begin({ kind: "remove", path });
    const node = this.#medium.find(path);
    if (node === null) return;
    if (!(node instanceof MemoryFile)) throw diskFailure("EISDIR", path);
    this.#medium.change([{ ...this.#slot(path), node: null }]);
  }

  async removeTree(path: string): Promise<void> {
    assert.ok(diskPathNames(path).length > 0, "the data directory itself is not removed");
    await this.begin({ kind: "remove", path });
    if (this.#medium.find(path) === null) return;
    this.#medium.change([{ ...this.#slot(path), node: null }]);
  }

  async syncDirectory(path: string): Promise<void> {
    await this.begin({ kind: "sync", path });
    this.#medium.syncDirectory(this.#directory(path));
  }

  allocate(lengthBytes: number): Uint8Array {
    return new Uint8Array(lengthBytes);
  }

  async space(): Promise<{ readonly totalBytes: number; readonly availableBytes: number }> {
    const totalBytes = this.#medium.options.capacityBytes ?? 2 ** 50;
    return { totalBytes, availableBytes: Math.max(0, totalBytes - this.#medium.usedBytes) };
  }

  /** Waits for the delay, at least one microtask, and throws the injected fault, if any. */
  async begin(operation: DiskOperation): Promise<void> {
    diskPathNames(operation.path);
    const { delay } = this.#mount;
    if (delay === undefined) await Promise.resolve();
    else await delay(operation);
    if (!this.#mount.isMounted()) throw diskFailure("ENODEV", operation.path);
    const errno = this.#medium.options.fault?.(operation) ?? null;
    if (errno !== null) throw diskFailure(errno, operation.path);
  }

  checkSpace(growthBytes: number, path: string): void {
    const capacityBytes = this.#medium.options.capacityBytes;
    if (capacityBytes === undefined || growthBytes <= 0) return;
    if (this.#medium.usedBytes + growthBytes > capacityBytes) throw diskFailure("ENOSPC", path);
  }

  #directory(path: string, reportedPath = path): MemoryDirectory {
    const node = this.#medium.find(path);
    if (node === null) throw diskFailure("ENOENT", reportedPath);
    if (node instanceof MemoryFile) throw diskFailure("ENOTDIR", reportedPath);
    return node;
  }

  #slot(path: string): { readonly directory: MemoryDirectory; readonly name: string } {
    const name = diskPathNames(path).at(-1);
    assert.ok(name !== undefined, "the data directory itself has no name");
    return { directory: this.#directory(diskPathParent(path), path), name };
  }
}

/** Checks rename(2): a file may replace a file, a directory may replace an empty directory. */
function checkReplaceable(node: Node, replaced: Node, path: string): void {
  if (node instanceof MemoryFile) {
    if (!(replaced instanceof MemoryFile)) throw diskFailure("EISDIR", path);
    return;
  }
  if (replaced instanceof MemoryFile) throw diskFailure("ENOTDIR", path);
  if (replaced.current.size > 0) throw diskFailure("ENOTEMPTY", path);
}
