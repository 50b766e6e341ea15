import { openReadable, type ReadableFile } from "../../../shared/platform/readable-file.ts";
import { startOfLastLines } from "../last-lines.ts";

const LINE_END = 0x0a;
const READ_BYTES = 64 * 1024;

/** The log of a node. Lines are read once, in order. */
export class NodeLog implements AsyncDisposable {
  readonly #file: ReadableFile;
  #positionBytes = 0;
  /** The beginning of a line whose end was not read yet. */
  #partial = Buffer.alloc(0);

  private constructor(file: ReadableFile) {
    this.#file = file;
  }

  /** Opens a log. Null if there is none. */
  static async open(path: string): Promise<NodeLog | null> {
    try {
      return new NodeLog(await openReadable(path, { isWaitRefused: true }));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
      throw error;
    }
  }

  /** Continues at the last `lineCount` lines of the log. */
  async seekLastLines(lineCount: number): Promise<void> {
    this.#positionBytes = await startOfLastLines(lineCount, {
      sizeBytes: Number((await this.#file.stat()).size),
      read: async ({ position, lengthBytes }) => {
        const bytes = Buffer.allocUnsafe(lengthBytes);
        return bytes.subarray(0, await this.#file.read(bytes, position));
      },
    });
  }

  /** Yields the lines from the current position to the end, as far as they have ended. */
  async *lines(): AsyncGenerator<string, void, void> {
    const buffer = Buffer.allocUnsafe(READ_BYTES);
    for (;;) {
      const count = await this.#file.read(buffer, this.#positionBytes);
      if (count === 0) return;
      this.#positionBytes += count;
      let bytes = Buffer.concat([this.#partial, buffer.subarray(0, count)]);
      for (let end = bytes.indexOf(LINE_END); end >= 0; end = bytes.indexOf(LINE_END)) {
        const line = bytes.toString("utf8", 0, end);
        bytes = bytes.subarray(end + 1);
        this.#partial = bytes;
        yield line;
      }
      this.#partial = bytes;
    }
  }

  /** Returns the line that has not ended; null if there is none. Call it after `lines`. */
  rest(): string | null {
    return this.#partial.length === 0 ? null : this.#partial.toString("utf8");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file[Symbol.asyncDispose]();
  }
}

/** Returns the last `lineCount` lines of a log, for an error message; none if it cannot be read. */
export async function lastLinesOf(path: string, lineCount: number): Promise<string[]> {
  const lines: string[] = [];
  try {
    await using log = await NodeLog.open(path);
    await log?.seekLastLines(lineCount);
    for await (const line of log?.lines() ?? []) lines.push(line);
    return [...lines, ...[log?.rest() ?? []].flat()];
  } catch {
    return lines;
  }
}
