import { createCipheriv, createHash } from "node:crypto";
import { cp, mkdir, open, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";

const MIB = 1024 * 1024;

/** Folders of this repository that are copied into the tree, for files of realistic sizes. */
const SOURCES = ["master", "chunkserver", "client", "shared", "test", "docs", "scripts"];

/** A local tree of files for tests and benchmarks. */
export interface SampleTree {
  readonly directory: string;
  readonly fileCount: number;
  readonly sizeBytes: number;
  /** Path of the largest file below the directory. */
  readonly bigFile: string;
}

/**
 * Creates a tree of files: the sources of this repository, small files of edge-case sizes and
 * names, and large files of pseudo-random bytes, which are the same at every run.
 */
export async function makeSampleTree(
  directory: string,
  options: { readonly repository: string; readonly bigFileBytes: number },
): Promise<SampleTree> {
  await mkdir(directory, { recursive: true });
  const sources = join(directory, "sources");
  await mkdir(sources);
  const present = new Set(await readdir(options.repository));
  for (const name of SOURCES.filter((source) => present.has(source))) {
    await cp(join(options.repository, name), join(sources, name), { recursive: true });
  }
  await makeSmallFiles(join(directory, "small"));
  const large = join(directory, "large");
  await mkdir(large);
  for (let number = 1; number <= 10; number += 1) {
    await writeRandomFile(join(large, `part-${number}`), 8 * MIB + number * 1000, number);
  }
  const bigFile = join("large", "big");
  await writeRandomFile(join(directory, bigFile), options.bigFileBytes, 99);
  return { directory, bigFile, ...(await measure(directory)) };
}

async function makeSmallFiles(directory: string): Promise<void> {
  const names = ["empty", "one byte", "new\nline", "ümlaut", "quote'\"s", "-dash", "*star*"];
  await mkdir(join(directory, "deep", "deeper", "deepest"), { recursive: true });
  await mkdir(join(directory, "nothing in here"));
  for (const [index, name] of names.entries()) {
    await writeFile(join(directory, name), randomBytes(index, index));
  }
  // Sizes around the limits of inline files, blocks and packed extents.
  for (const size of [4095, 4096, 4097, 65_535, 65_536, 65_537, MIB - 1, MIB, MIB + 1]) {
    await writeFile(
      join(directory, "deep", "deeper", "deepest", `size-${size}`),
      randomBytes(size, size),
    );
  }
  for (let number = 0; number < 300; number += 1) {
    await writeFile(join(directory, "deep", `file-${number}`), randomBytes(number * 37, number));
  }
}

/** Returns `size` bytes that depend only on `seed`: AES-128-CTR over zeros. */
export function randomBytes(size: number, seed: number): Buffer {
  return keystream(seed).update(Buffer.alloc(size));
}

function keystream(seed: number): ReturnType<typeof createCipheriv> {
  const key = createHash("sha256").update(`ashlar sample ${seed}`).digest().subarray(0, 16);
  return createCipheriv("aes-128-ctr", key, Buffer.alloc(16));
}

/** Writes a file of `size` pseudo-random bytes that depend only on `seed`. */
export async function writeRandomFile(path: string, size: number, seed: number): Promise<void> {
  const stream = keystream(seed);
  const zeros = Buffer.alloc(4 * MIB);
  const file = await open(path, "w");
  try {
    for (let written = 0; written < size; written += zeros.length) {
      await file.write(stream.update(zeros.subarray(0, Math.min(zeros.length, size - written))));
    }
  } finally {
    await file.close();
  }
}

async function measure(directory: string): Promise<{ fileCount: number; sizeBytes: number }> {
  let [fileCount, sizeBytes] = [0, 0];
  for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const file = await open(join(entry.parentPath, entry.name));
    sizeBytes += (await file.stat()).size;
    fileCount += 1;
    await file.close();
  }
  return { fileCount, sizeBytes };
}
