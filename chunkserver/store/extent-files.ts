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
import { CoalescedSync } from "./coalesced-sync.ts";
import { EXTENTS_DIRECTORY } from "./identity.ts";
import { WriteQueue } from "./write-queue.ts";

/** Maximum number of unused files that are kept open for the next reader. */
const IDLE_FILES_MAX = 256;

/** Callbacks for refusals of the disk. Each may be called several times for one failure. */
interface FailureEvents {
  /** Called before any caller of the sync gets the error. */
  readonly onSyncFailed: (error: unknown) => void;
  readonly onWriteFailed: (error: unknown) => void;
}

/** Returns the path of an extent file, relative to the data directory. */
export function extentPath(name: ExtentFileName): string {
  return `${EXTENTS_DIRECTORY}/${name}`;
}

/**
 * The extent files of one disk: creates, opens, syncs and deletes them.
 *
 * A failed sync is never repeated (`CoalescedSync`). The file accepts no further writes, and
 * `onSyncFailed` is called: the server must accept no further writes. `onWriteFailed` is called
 * when a write or the creation of a file was refused. Its caller gets the error too, and nothing
 * was acknowledged.
 */
export class ExtentFiles {
  readonly #disk: Disk;
  readonly #events: FailureEvents;
  readonly #open = new Map<ExtentFileName, OpenFile>();
  /** Files of `#open` without a user. The most recently used one is last. */
  readonly #idle = new Set<OpenFile>();
  readonly #directorySync: CoalescedSync;
  /** New files whose directory entry is not durable yet. */
  readonly #pendingNameSyncs = new Map<ExtentFileName, Promise<void>>();
  #nextNumber = 1;

  constructor(options: FailureEvents & { readonly disk: Disk }) {
    this.#disk = options.disk;
    this.#events = options;
    this.#directorySync = new CoalescedSync(() =>
      notingFailure(options, () => options.disk.syncDirectory(EXTENTS_DIRECTORY)),
    );
  }

  /** Gives new files numbers above `number`. Called for every file on the disk and in the index. */
  skipNumbersTo(number: number): void {
    this.#nextNumber = Math.max(this.#nextNumber, number + 1);
  }

  /** Creates an empty file. Its name is durable when its first `sync` has resolved. */
  async create(kind: ExtentFileKind): Promise<ExtentFile> {
    const name = extentFileName(kind, this.#nextNumber);
    this.#nextNumber += 1;
    const file = await this.#make(name);
    // Started now, so that the first seal rarely has to wait for it.
    const nameDurable = this.#syncName(name);
    const open = new OpenFile(name, Promise.resolve(file), {
      events: this.#events,
      nameDurable,
    });
    this.#open.set(name, open);
    return this.#use(open);
  }

  /** Opens an existing file. @throws {AshlarError} NOT_FOUND */
  async open(name: ExtentFileName): Promise<ExtentFile> {
    let open = this.#open.get(name);
    if (open === undefined) {
      const nameDurable = this.#pendingNameSyncs.get(name) ?? Promise.resolve();
      const file = this.#disk.open(extentPath(name), "read-write");
      open = new OpenFile(name, file, { events: this.#events, nameDurable });
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

  /** Deletes the file. Users that have it open can still read it. */
  async remove(name: ExtentFileName): Promise<void> {
    assert(parseExtentFileName(name) !== null, "only extent files are removed");
    await this.#dropFromCache(name);
    await this.#disk.remove(extentPath(name));
  }

  /**
   * Moves the file to `path`, outside the extents directory. Users that have it open can still read
   * it. Durable when it resolves.
   */
  async moveTo(name: ExtentFileName, path: string): Promise<void> {
    await this.#dropFromCache(name);
    await this.#disk.rename(extentPath(name), path);
    await this.#directorySync.run();
  }

  /**
   * Checks that the extents directory exists. Without it all files are missing: its file system was
   * unmounted, and no chunk is lost.
   *
   * @throws {AshlarError} DISK_FAILED
   */
  async requireDirectory(): Promise<void> {
    try {
      await this.#disk.syncDirectory(EXTENTS_DIRECTORY);
    } catch (cause) {
      const error = new AshlarError("DISK_FAILED", `Cannot read ${EXTENTS_DIRECTORY}/`, { cause });
      this.#events.onWriteFailed(error);
      throw error;
    }
  }

  /** Closes the unused files. Each other file is closed by its last user. */
  async close(): Promise<void> {
    for (const open of [...this.#open.values()]) await this.#dropFromCache(open.name);
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
    this.#pendingNameSyncs.set(name, nameDurable);
    // A failed promise stays in the map, so that every later seal of the file fails too.
    nameDurable.then(
      () => this.#pendingNameSyncs.delete(name),
      () => {},
    );
    return nameDurable;
  }

  #use(open: OpenFile): ExtentFile {
    open.userCount += 1;
    this.#idle.delete(open);
    return new ExtentFile(open, {
      events: this.#events,
      reopen: () => this.#disk.open(extentPath(open.name), "read"),
      onReleased: () => this.#onReleased(open),
    });
  }

  #onReleased(open: OpenFile): void {
    open.userCount -= 1;
    assert(open.userCount >= 0, "each user releases a file once");
    if (open.userCount > 0) return;
    if (this.#open.get(open.name) !== open) {
      closeIgnoringErrors(open);
      return;
    }
    this.#idle.add(open);
    if (this.#idle.size <= IDLE_FILES_MAX) return;
    for (const oldest of this.#idle) {
      this.#idle.delete(oldest);
      this.#open.delete(oldest.name);
      closeIgnoringErrors(oldest);
      return;
    }
  }

  /** Removes the file from the open files, and closes it if it is unused. */
  async #dropFromCache(name: ExtentFileName): Promise<void> {
    const open = this.#open.get(name);
    if (open === undefined) return;
    this.#open.delete(name);
    if (this.#idle.delete(open)) await open.file.then((file) => file.close());
  }
}

/** One file descriptor and the state that its users share. */
class OpenFile {
  readonly name: ExtentFileName;
  readonly file: Promise<DiskFile>;
  /** Resolves when the directory entry of the file is durable. */
  readonly nameDurable: Promise<void>;
  readonly contentSync: CoalescedSync;
  readonly writes: WriteQueue;
  userCount = 0;
  /** Whether a sync failed. The content written after the last successful sync is then unknown. */
  hasSyncFailed = false;

  constructor(
    name: ExtentFileName,
    file: Promise<DiskFile>,
    options: { readonly events: FailureEvents; readonly nameDurable: Promise<void> },
  ) {
    this.name = name;
    this.file = file;
    this.nameDurable = options.nameDurable;
    this.writes = new WriteQueue(file, isPacked(name) ? "keep" : "pass");
    this.contentSync = new CoalescedSync(() =>
      notingFailure(options.events, async () => {
        try {
          await (await file).sync();
        } catch (error) {
          this.hasSyncFailed = true;
          throw error;
        }
      }),
    );
    file.catch(() => {}); // Each user awaits it. Prevents an unhandled rejection without users.
  }
}

/** Calls `sync`. The store learns of a failure before any caller of the sync does. */
async function notingFailure(events: FailureEvents, sync: () => Promise<void>): Promise<void> {
  try {
    await sync();
  } catch (error) {
    events.onSyncFailed(error);
    throw error;
  }
}

function closeIgnoringErrors(open: OpenFile): void {
  // All durable data was synced before: a failed close loses nothing.
  open.file.then((file) => file.close()).catch(() => {});
}

function syncFailedBefore(name: ExtentFileName): AshlarError {
  return new AshlarError(
    "DISK_FAILED",
    `Cannot write ${extentPath(name)}: an earlier sync of it failed`,
  );
}

/** What an `ExtentFile` uses of its owner. */
interface ExtentFileDeps {
  readonly events: FailureEvents;
  /** Opens the file again, with a descriptor of its own. */
  readonly reopen: () => Promise<DiskFile>;
  readonly onReleased: () => void;
}

/** One user's handle of an extent file. The user releases it once, even after an error. */
export class ExtentFile {
  readonly name: ExtentFileName;
  readonly #open: OpenFile;
  readonly #deps: ExtentFileDeps;
  #isReleased = false;

  constructor(open: OpenFile, deps: ExtentFileDeps) {
    this.name = open.name;
    this.#open = open;
    this.#deps = deps;
  }

  /**
   * Returns the number of bytes read. It is below the length of `target` only at the end of the
   * file.
   */
  async read(target: Uint8Array, offsetBytes: number, use: CacheUse = "keep"): Promise<number> {
    assert(!this.#isReleased, "a released file is not used");
    return (await this.#open.file).read(target, offsetBytes, use);
  }

  /**
   * The same as `read`, with a descriptor that is opened for this read.
   *
   * @throws {AshlarError} NOT_FOUND if the file was deleted
   */
  async readAgain(target: Uint8Array, offsetBytes: number, use: CacheUse): Promise<number> {
    assert(!this.#isReleased, "a released file is not used");
    const file = await this.#deps.reopen();
    try {
      return await file.read(target, offsetBytes, use);
    } finally {
      await file.close();
    }
  }

  /**
   * Writes all of `bytes`. Not durable before `sync`.
   *
   * @throws {AshlarError} NO_SPACE, DISK_FAILED: the content of the file at these bytes is unknown.
   */
  async write(bytes: Uint8Array, offsetBytes: number): Promise<void> {
    assert(!this.#isReleased, "a released file is not used");
    if (this.#open.hasSyncFailed) throw syncFailedBefore(this.name);
    try {
      await this.#open.writes.write(bytes, offsetBytes);
    } catch (error) {
      this.#deps.events.onWriteFailed(error);
      throw error;
    }
  }

  /** Returns the length of the file. */
  async lengthBytes(): Promise<number> {
    assert(!this.#isReleased, "a released file is not used");
    return (await (await this.#open.file).size()).lengthBytes;
  }

  /**
   * Makes the bytes written before the call and the name of the file durable. Concurrent callers
   * share one fdatasync.
   *
   * @throws {AshlarError} DISK_FAILED: the file accepts no further writes.
   */
  async sync(): Promise<void> {
    assert(!this.#isReleased, "a released file is not used");
    await Promise.all([this.#open.contentSync.run(), this.#open.nameDurable]);
  }

  /** Ends this use of the file. */
  release(): void {
    assert(!this.#isReleased, "a user releases a file once");
    this.#isReleased = true;
    this.#deps.onReleased();
  }
}
