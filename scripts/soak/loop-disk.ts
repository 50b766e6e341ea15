import { mkdir, open, rm, rmdir, statfs, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { runTool } from "./run-tool.ts";

export type FileSystemKind = "ext4" | "xfs";

const BALLAST = "ballast";

/** A file system of its own in an image file, mounted by a loop device that goes with the mount. */
export class LoopDisk {
  readonly kind: FileSystemKind;
  readonly mountPoint: string;
  readonly #image: string;
  #isMounted = false;

  constructor(options: {
    readonly kind: FileSystemKind;
    readonly image: string;
    readonly mountPoint: string;
  }) {
    this.kind = options.kind;
    this.#image = options.image;
    this.mountPoint = options.mountPoint;
  }

  /** A new, empty file system. The image is sparse. */
  async make(sizeBytes: number): Promise<void> {
    const image = await open(this.#image, "w");
    await image.truncate(sizeBytes);
    await image.close();
    await runTool(`mkfs.${this.kind}`, ["-q", this.#image]);
    await mkdir(this.mountPoint, { recursive: true });
    await this.mount();
    if (this.kind === "ext4") await rmdir(join(this.mountPoint, "lost+found"));
  }

  /** Mounting after a power cut replays the file system's journal. */
  async mount(): Promise<void> {
    await runTool("mount", ["-t", this.kind, "-o", "loop", this.#image, this.mountPoint]);
    this.#isMounted = true;
  }

  /** @throws {Error} while a process has a file open there */
  async unmount(): Promise<void> {
    if (!this.#isMounted) return;
    await runTool("umount", [this.mountPoint]);
    this.#isMounted = false;
  }

  /**
   * The file system stops at once, without writing what it holds: what was not synced is lost, and
   * from now on every call answers EIO (EXT4_IOC_SHUTDOWN and XFS_IOC_GOINGDOWN with NOLOGFLUSH).
   *
   * @throws {Error} if something can be written all the same: the fault did not fire
   */
  async shutDown(): Promise<void> {
    await runTool("xfs_io", ["-x", "-c", "shutdown", this.mountPoint]);
    const probe = join(this.mountPoint, "probe");
    const isWritable = await writeFile(probe, "").then(
      () => true,
      () => false,
    );
    if (isWritable) throw new Error(`The file system at ${this.mountPoint} lives on`);
  }

  /** Takes all the space that is left. @returns bytes that are still free: none, or nearly so */
  async fill(): Promise<number> {
    const { bavail, bsize } = await statfs(this.mountPoint);
    const path = join(this.mountPoint, BALLAST);
    await runTool("fallocate", ["-l", String(Math.max(bsize, (bavail - 64) * bsize)), path]);
    // The last blocks one by one: a file system cannot promise all of them to one call.
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

  /** Ends `fill`. */
  async free(): Promise<void> {
    await rm(join(this.mountPoint, BALLAST), { force: true });
  }
}
