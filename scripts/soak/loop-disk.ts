import { mkdir, open, rm, rmdir, statfs, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { runTool } from "./run-tool.ts";

/** File systems under test. */
export type FileSystemKind = "ext4" | "xfs";

const BALLAST = "ballast";

/**
 * A file system in an image file, mounted through a loop device. The device ends with the mount.
 */
export class LoopDisk {
  readonly kind: FileSystemKind;
  readonly mountPoint: string;
  readonly #image: string;
  #isMounted = false;
  #isFrozen = false;

  constructor(options: {
    readonly kind: FileSystemKind;
    readonly image: string;
    readonly mountPoint: string;
  }) {
    this.kind = options.kind;
    this.#image = options.image;
    this.mountPoint = options.mountPoint;
  }

  /** Creates an empty file system in a sparse image and mounts it. */
  async make(sizeBytes: number): Promise<void> {
    const image = await open(this.#image, "w");
    await image.truncate(sizeBytes);
    await image.close();
    await runTool(`mkfs.${this.kind}`, ["-q", this.#image]);
    await mkdir(this.mountPoint, { recursive: true });
    await this.mount();
    if (this.kind === "ext4") await rmdir(join(this.mountPoint, "lost+found"));
  }

  /** Mounts the file system. After a power cut this replays its journal. */
  async mount(): Promise<void> {
    await runTool("mount", ["-t", this.kind, "-o", "loop", this.#image, this.mountPoint]);
    this.#isMounted = true;
  }

  /** Unmounts the file system. @throws {Error} while a process has a file open there */
  async unmount(): Promise<void> {
    if (!this.#isMounted) return;
    await runTool("umount", [this.mountPoint]);
    this.#isMounted = false;
  }

  /**
   * Stops the file system without writing cached data. Data that was not synced is lost, and each
   * call fails with EIO from now on (EXT4_IOC_SHUTDOWN and XFS_IOC_GOINGDOWN with NOLOGFLUSH).
   *
   * @throws {Error} if a write still succeeds, which means that the fault had no effect
   */
  async shutDown(): Promise<void> {
    await runTool("xfs_io", ["-x", "-c", "shutdown", this.mountPoint]);
    const probe = join(this.mountPoint, "probe");
    const isWritable = await writeFile(probe, "").then(
      () => true,
      () => false,
    );
    if (isWritable) throw new Error(`Cannot shut down ${this.mountPoint}: a write still succeeds`);
  }

  /** Lets each write and sync wait until `thaw` (FIFREEZE of ioctl_fifreeze). */
  async freeze(): Promise<void> {
    await runTool("fsfreeze", ["-f", this.mountPoint]);
    this.#isFrozen = true;
  }

  /** Ends `freeze`. */
  async thaw(): Promise<void> {
    if (!this.#isFrozen) return;
    this.#isFrozen = false;
    await runTool("fsfreeze", ["-u", this.mountPoint]);
  }

  /** Uses up the free space. Resolves with the bytes that are still free: none, or almost none. */
  async fill(): Promise<number> {
    const { bavail, bsize } = await statfs(this.mountPoint);
    const path = join(this.mountPoint, BALLAST);
    await runTool("fallocate", ["-l", String(Math.max(bsize, (bavail - 64) * bsize)), path]);
    // The last blocks one by one: a file system cannot allocate all of them in one call.
    const file = await open(path, "a");
    try {
      for (;;) await file.write(Buffer.alloc(4096, 1));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOSPC") throw error;
    } finally {
      await file.close();
    }
    const after = await statfs(this.mountPoint);
    return after.bavail * after.bsize;
  }

  /** Frees the space that `fill` used. */
  async free(): Promise<void> {
    await rm(join(this.mountPoint, BALLAST), { force: true });
  }
}
