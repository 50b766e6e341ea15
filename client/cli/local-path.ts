import { displayName } from "../../shared/base/path.ts";
import { bytesOfText } from "./argument-text.ts";
import type { CliEnv } from "./cli-env.ts";

const SLASH = 0x2f;

/** A path of the local file system. Paths are bytes, as on Linux. */
export class LocalPath {
  /** The path as the user gave it, for output. */
  readonly bytes: Buffer;
  readonly #workingDirectory: string;

  /** @param workingDirectory see `CliEnv` */
  constructor(bytes: Buffer, workingDirectory = "") {
    this.bytes = bytes;
    this.#workingDirectory = workingDirectory;
  }

  /** Returns the path of an argument. */
  static parse(env: CliEnv, argument: string): LocalPath {
    return new LocalPath(Buffer.from(bytesOfText(argument)), env.workingDirectory);
  }

  /** The path for system calls: a relative path is below the working directory. */
  get systemPath(): Buffer {
    const isAsGiven = this.bytes.length === 0 || this.bytes[0] === SLASH;
    return isAsGiven ? this.bytes : joinNames(Buffer.from(this.#workingDirectory), this.bytes);
  }

  /** The path as `displayName` shows it. */
  get text(): string {
    return displayName(this.bytes);
  }

  /** Returns the path of an entry of this directory. */
  join(name: Uint8Array): LocalPath {
    return new LocalPath(joinNames(this.bytes, name), this.#workingDirectory);
  }

  /** Returns the path of `bytes` with the same working directory. */
  withBytes(bytes: Buffer): LocalPath {
    return new LocalPath(bytes, this.#workingDirectory);
  }

  /** Returns the path without trailing slashes. The root keeps its slash. */
  withoutSlashes(): LocalPath {
    let end = this.bytes.length;
    while (end > 1 && this.bytes[end - 1] === SLASH) end -= 1;
    return new LocalPath(this.bytes.subarray(0, end), this.#workingDirectory);
  }
}

/** Returns `directory`/`name`; `name` if `directory` is empty. */
export function joinNames(directory: Buffer, name: Uint8Array): Buffer {
  if (directory.length === 0) return Buffer.from(name);
  const hasSlash = directory.at(-1) === SLASH; // The root.
  return Buffer.concat(hasSlash ? [directory, name] : [directory, Buffer.of(SLASH), name]);
}
