import { assert } from "../../shared/base/assert.ts";
import { AshlarError } from "../../shared/base/errors.ts";
import type { CacheUse, Disk, DiskFile } from "../../shared/ports/disk.ts";
import {
  type ExtentFileKind,
  type ExtentFileName,
  extentFileName,
  isPacked,
  parseExtentFileName,
} from "./chunk-record.ts";
import { Coalesced } from "./coalesced.ts";
import { EXTENTS_DIRECTORY } from "./identity.ts";
import { WriteQueue } from "./write-queue.ts";

/** Files that nobody uses and that are kept open for the next reader. */
const IDLE_FILES_MAX = 256;

/** What the disk refused. Each may be told several times of one failure. */
interface FailureEvents {
  readonly onSyncFailed: (error: unknown) => void;
  readonly onWriteFailed: (error: unknown) => void;
}

/** Path of an extent file on the disk. */
export function extentPath(name: ExtentFileName): string {
  return `${EXTENTS_DIRECTORY}/${name}`;
}

/**
 * The extent files of one disk: makes them, opens them, syncs them.
 *
 * A failed sync is never repeated (fsyncgate: the kernel has dropped what it could not write and
 * would report success). The file is given up, `onSyncFailed` hears of it, and the server must take
 * no more writes. `onWriteFailed` hears of a write, or of the making of a file, that was refused: its
 * caller gets the error too, and nothing of it was acknowledged.
 */
export class ExtentFiles {
  readonly #disk: Disk;
  readonly #events: FailureEvents;
  readonly #open = new Map<ExtentFileName, OpenFile>();
  /** Files of `#open` without a user, the one that was used last at the end. */
  readonly #idle = new Set<OpenFile>();
  readonly #directorySync: Coalesced;
  /** New files whose names are not durable yet, however often they are closed and opened. */
  readonly #namesUnderway = new Map<ExtentFileName, Promise<void>>();
  #nextNumber = 1;

  constructor(options: FailureEvents & { readonly disk: Disk }) {
    this.#disk = options.disk;
    this.#events = options;
    this.#directorySync = new Coalesced(() => options.disk.syncDirectory(EXTENTS_DIRECTORY));
  }

  /** New files get numbers above `number`: that of every file on the disk or in the index. */
  numberAbove(number: number): void {
    this.#nextNumber = Math.max(this.#nextNumber, number + 1);
  }

  /** Makes a new, empty file. Its name is durable once its first `sync` has resolved. */
  async create(kind: ExtentFileKind): Promise<ExtentFile> {
    const name = extentFileName(kind, this.#nextNumber);
    this.#nextNumber += 1;
    const file = await this.#make(name);
    // Begun at once, so that the first seal seldom waits for it.
    const nameDurable = this.#syncName(name);
    const open = new OpenFile(name, Promise.resolve(file), nameDurable);
    this.#open.set(name, open);
    return this.#use(open);
  }

  /** Opens a file that is there. @throws {AshlarError} NOT_FOUND */
  async open(name: ExtentFileName): Promise<ExtentFile> {
    let open = this.#open.get(name);
    if (open === undefined) {
      const nameDurable = this.#namesUnderway.get(name) ?? Promise.resolve();
      open = new OpenFile(name, this.#disk.open(extentPath(name), "read-write"), nameDurable);
      this.#open.set(name, open);
    }
    const used = this.#use(open);
    try {
      await open.file;
    } catch (error) {
      if (this.#open.get(name) === open) this.#open.delete(name);
      throw error;
    }
    return used;
  }

  /** Deletes the file. Who has it open may go on reading. */
  async remove(name: ExtentFileName): Promise<void> {
    assert(parseExtentFileName(name) !== null, "only extent files are removed");
    await this.#forget(name);
    await this.#disk.remove(extentPath(name));
  }

  /** Moves the file to `path`, outside the extents; who has it open may go on reading. Durable. */
  async moveAside(name: ExtentFileName, path: string): Promise<void> {
    await this.#forget(name);
    await this.#disk.rename(extentPath(name), path);
    await this.#directorySync.run();
  }

  /** Closes the files that nobody uses. The others are closed by their last user. */
  async close(): Promise<void> {
    for (const open of [...this.#open.values()]) await this.#forget(open.name);
  }

  async #make(name: ExtentFileName): Promise<DiskFile> {
    try {
      return await this.#disk.open(extentPath(name), "create");
    } catch (error) {
      this.#events.onWriteFailed(error);
      throw error;
    }
  }

  #syncName(name: ExtentFileName): Promise<void> {
    const nameDurable = this.#directorySync.run();
    this.#namesUnderway.set(name, nameDurable);
    // If it fails the promise stays: no seal of the file can succeed any more.
    nameDurable.then(() => this.#namesUnderway.delete(name), this.#events.onSyncFailed);
    return nameDurable;
  }

  #use(open: OpenFile): ExtentFile {
    open.userCount += 1;
    this.#idle.delete(open);
    return new ExtentFile(open, this.#events, () => this.#onReleased(open));
  }

  #onReleased(open: OpenFile): void {
    open.userCount -= 1;
    assert(open.userCount >= 0, "a file is released once by each user");
    if (open.userCount > 0) return;
    if (this.#open.get(open.name) !== open) {
      closeQuietly(open);
      return;
    }
    this.#idle.add(open);
    if (this.#idle.size <= IDLE_FILES_MAX) return;
    for (const oldest of this.#idle) {
      this.#idle.delete(oldest);
      this.#open.delete(oldest.name);
      closeQuietly(oldest);
      return;
    }
  }

  async #forget(name: ExtentFileName): Promise<void> {
    const open = this.#open.get(name);
    if (open === undefined) return;
    this.#open.delete(name);
    if (this.#idle.delete(open)) await open.file.then((file) => file.close());
  }
}

/** One descriptor and what its users share. */
class OpenFile {
  readonly name: ExtentFileName;
  readonly file: Promise<DiskFile>;
  /** Resolves when the directory entry is durable. */
  readonly nameDurable: Promise<void>;
  readonly sync: Coalesced;
  readonly writes: WriteQueue;
  userCount = 0;
  /** A sync failed: what the file holds beyond earlier syncs is unknown for good. */
  isGivenUp = false;

  constructor(name: ExtentFileName, file: Promise<DiskFile>, nameDurable: Promise<void>) {
    this.name = name;
    this.file = file;
    this.nameDurable = nameDurable;
    this.writes = new WriteQueue(file, isPacked(name) ? "keep" : "pass");
    this.sync = new Coalesced(async () => {
      if (this.isGivenUp) throw givenUp(name);
      await (await file).sync();
    });
    file.catch(() => {}); // Each user awaits it; an open that failed has no other listener.
  }
}

function closeQuietly(open: OpenFile): void {
  // Everything that must be durable was synced: a failed close loses nothing.
  open.file.then((file) => file.close()).catch(() => {});
}

function givenUp(name: ExtentFileName): AshlarError {
  return new AshlarError(
    "DISK_FAILED",
    `Cannot write ${extentPath(name)}: an earlier sync of it failed`,
  );
}

/** One use of an extent file. Released once by its user, also after errors. */
export class ExtentFile {
  readonly name: ExtentFileName;
  readonly #open: OpenFile;
  readonly #events: FailureEvents;
  readonly #onReleased: () => void;
  #isReleased = false;

  constructor(open: OpenFile, events: FailureEvents, onReleased: () => void) {
    this.name = open.name;
    this.#open = open;
    this.#events = events;
    this.#onReleased = onReleased;
  }

  /** Bytes read into `target`; fewer than its length only at the end of the file. */
  async read(target: Uint8Array, offsetBytes: number, use: CacheUse = "keep"): Promise<number> {
    assert(!this.#isReleased, "a released file is not used");
    return (await this.#open.file).read(target, offsetBytes, use);
  }

  /**
   * Writes all of `bytes`. Not durable before `sync`.
   *
   * @throws {AshlarError} NO_SPACE, DISK_FAILED: what the file holds at these bytes is unknown.
   */
  async write(bytes: Uint8Array, offsetBytes: number): Promise<void> {
    assert(!this.#isReleased, "a released file is not used");
    if (this.#open.isGivenUp) throw givenUp(this.name);
    try {
      await this.#open.writes.write(bytes, offsetBytes);
    } catch (error) {
      this.#events.onWriteFailed(error);
      throw error;
    }
  }

  async lengthBytes(): Promise<number> {
    assert(!this.#isReleased, "a released file is not used");
    return (await (await this.#open.file).size()).lengthBytes;
  }

  /**
   * What was written before the call, and the file's name, are durable when it resolves. Callers
   * that wait at one time share one fdatasync.
   *
   * @throws {AshlarError} DISK_FAILED: the file is given up.
   */
  async sync(): Promise<void> {
    assert(!this.#isReleased, "a released file is not used");
    try {
      await Promise.all([this.#open.sync.run(), this.#open.nameDurable]);
    } catch (error) {
      this.#open.isGivenUp = true;
      this.#events.onSyncFailed(error);
      throw error;
    }
  }

  release(): void {
    assert(!this.#isReleased, "a file is released once");
    this.#isReleased = true;
    this.#onReleased();
  }
}
