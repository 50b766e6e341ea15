import { open, readdir, stat } from "node:fs/promises";
import { join } from "node:path";

/** Returns the files below `directory` whose path matches, largest first. */
export async function filesBelow(directory: string, pattern: RegExp): Promise<string[]> {
  const found: Array<{ path: string; size: number }> = [];
  for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    if (!entry.isFile() || !pattern.test(path.slice(directory.length))) continue;
    found.push({ path, size: (await stat(path)).size });
  }
  return found.sort((left, right) => right.size - left.size).map((file) => file.path);
}

/** Simulates bit rot: inverts all bits of `count` bytes at `offset`. */
export async function flipBytes(path: string, offset: number, count: number): Promise<void> {
  const file = await open(path, "r+");
  try {
    const bytes = Buffer.alloc(count);
    await file.read(bytes, 0, count, offset);
    await file.write(
      bytes.map((byte) => byte ^ 0xff),
      0,
      count,
      offset,
    );
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Truncates a file to `lengthBytes`. */
export async function truncateFile(path: string, lengthBytes: number): Promise<void> {
  const file = await open(path, "r+");
  try {
    await file.truncate(lengthBytes);
  } finally {
    await file.close();
  }
}

/** Appends bytes to a file. */
export async function appendBytes(path: string, bytes: Uint8Array): Promise<void> {
  const file = await open(path, "a");
  try {
    await file.write(bytes);
  } finally {
    await file.close();
  }
}
