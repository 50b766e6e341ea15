import type { CacheUse, Disk, DiskEntry, DiskFile, DiskSpace } from "../../shared/ports/disk.ts";
import type { DiskLanes, DiskWork } from "./disk-lanes.ts";

/**
 * A disk whose operations run in lanes: reads, writes with syncs, and upkeep. Reads that must come from
 * the disk (`CacheUse`) are those of upkeep. The index runs its commits in a fourth lane.
 */
export class LimitedDisk implements Disk {
  readonly #disk: Disk;
  readonly #lanes: DiskLanes;

  constructor(disk: Disk, lanes: DiskLanes) {
    this.#disk = disk;
    this.#lanes = lanes;
  }

  async open(path: string, mode: "read" | "read-write" | "create"): Promise<DiskFile> {
    const work = mode === "create" ? "write" : "read";
    const file = await this.#run(work, `open ${path}`, () => this.#disk.open(path, mode));
    return new LimitedFile(file, path, this.#lanes);
  }

  readFile(path: string): Promise<Uint8Array> {
    return this.#run("read", `read ${path}`, () => this.#disk.readFile(path));
  }

  writeFileDurably(path: string, bytes: Uint8Array): Promise<void> {
    return this.#run("write", `write ${path}`, () => this.#disk.writeFileDurably(path, bytes));
  }

  makeDirectory(path: string): Promise<void> {
    return this.#run("write", `create ${path}`, () => this.#disk.makeDirectory(path));
  }

  list(path: string): Promise<readonly DiskEntry[]> {
    return this.#run("upkeep", `list ${path}`, () => this.#disk.list(path));
  }

  rename(from: string, to: string): Promise<void> {
    return this.#run("upkeep", `rename ${from}`, () => this.#disk.rename(from, to));
  }

  remove(path: string): Promise<void> {
    return this.#run("upkeep", `remove ${path}`, () => this.#disk.remove(path));
  }

  removeTree(path: string): Promise<void> {
    return this.#run("upkeep", `remove ${path}`, () => this.#disk.removeTree(path));
  }

  syncDirectory(path: string): Promise<void> {
    return this.#run("write", `sync ${path}`, () => this.#disk.syncDirectory(path));
  }

  allocate(lengthBytes: number): Uint8Array {
    return this.#disk.allocate(lengthBytes);
  }

  space(): Promise<DiskSpace> {
    return this.#run("read", "measure the free space", () => this.#disk.space());
  }

  #run<Result>(work: DiskWork, action: string, operation: () => Promise<Result>): Promise<Result> {
    return this.#lanes.run(work, action, operation);
  }
}

class LimitedFile implements DiskFile {
  readonly #file: DiskFile;
  readonly #path: string;
  readonly #lanes: DiskLanes;

  constructor(file: DiskFile, path: string, lanes: DiskLanes) {
    this.#file = file;
    this.#path = path;
    this.#lanes = lanes;
  }

  read(target: Uint8Array, offsetBytes: number, use: CacheUse = "keep"): Promise<number> {
    const work = use === "disk" ? "upkeep" : "read";
    return this.#run(work, "read", () => this.#file.read(target, offsetBytes, use));
  }

  write(parts: readonly Uint8Array[], offsetBytes: number, use?: CacheUse): Promise<void> {
    return this.#run("write", "write", () => this.#file.write(parts, offsetBytes, use));
  }

  writeDurably(bytes: Uint8Array, offsetBytes: number): Promise<void> {
    return this.#run("write", "write", () => this.#file.writeDurably(bytes, offsetBytes));
  }

  sync(): Promise<void> {
    return this.#run("write", "sync", () => this.#file.sync());
  }

  truncate(lengthBytes: number): Promise<void> {
    return this.#run("write", "truncate", () => this.#file.truncate(lengthBytes));
  }

  size(): ReturnType<DiskFile["size"]> {
    return this.#run("read", "measure", () => this.#file.size());
  }

  close(): Promise<void> {
    return this.#file.close();
  }

  #run<Result>(work: DiskWork, verb: string, operation: () => Promise<Result>): Promise<Result> {
    return this.#lanes.run(work, `${verb} ${this.#path}`, operation);
  }
}
