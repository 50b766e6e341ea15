import { open, readdir } from "node:fs/promises";
import { join } from "node:path";

const BUFFER_BYTES = 1024 * 1024;

/**
 * Returns the differences of two local trees, one line each. Empty if all names and bytes are
 * equal.
 */
export async function compareTrees(left: string, right: string): Promise<string[]> {
  const [leftNames, rightNames] = await Promise.all([namesBelow(left), namesBelow(right)]);
  const differences: string[] = [];
  for (const [name, kind] of leftNames) {
    if (rightNames.get(name) !== kind)
      differences.push(`${name}: expected ${kind}: found ${rightNames.get(name) ?? "nothing"}`);
    else if (kind === "file" && !(await hasEqualBytes(join(left, name), join(right, name)))) {
      differences.push(`${name}: the bytes differ`);
    }
  }
  for (const name of rightNames.keys())
    if (!leftNames.has(name)) differences.push(`${name}: unexpected`);
  return differences;
}

async function namesBelow(directory: string): Promise<Map<string, "file" | "directory">> {
  const names = new Map<string, "file" | "directory">();
  for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
    const name = join(entry.parentPath, entry.name).slice(directory.length + 1);
    names.set(name, entry.isDirectory() ? "directory" : "file");
  }
  return names;
}

/** Returns whether two local files have the same bytes. */
export async function hasEqualBytes(left: string, right: string): Promise<boolean> {
  await using files = new OpenPair(await open(left), await open(right));
  const [a, b] = [Buffer.alloc(BUFFER_BYTES), Buffer.alloc(BUFFER_BYTES)];
  for (let position = 0; ; ) {
    const [fromLeft, fromRight] = await Promise.all([
      files.left.read(a, 0, BUFFER_BYTES, position),
      files.right.read(b, 0, BUFFER_BYTES, position),
    ]);
    if (fromLeft.bytesRead !== fromRight.bytesRead) return false;
    if (fromLeft.bytesRead === 0) return true;
    if (a.compare(b, 0, fromRight.bytesRead, 0, fromLeft.bytesRead) !== 0) return false;
    position += fromLeft.bytesRead;
  }
}

type File = Awaited<ReturnType<typeof open>>;

class OpenPair implements AsyncDisposable {
  readonly left: File;
  readonly right: File;

  constructor(left: File, right: File) {
    this.left = left;
    this.right = right;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.left.close(), this.right.close()]);
  }
}
