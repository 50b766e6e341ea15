import { closeSync, mkdirSync, openSync, writeSync } from "node:fs";
import { dirname } from "node:path";

/**
 * A log file to which lines are appended. Each line is written before `write` returns, so that a
 * crash loses no line.
 *
 * A full disk does not end the process: lines that cannot be written are lost, and the next line
 * that can be written follows one with their number.
 */
export class LogFile {
  readonly #path: string;
  #fd: number;
  #lostCount = 0;

  /** Opens the file. Creates it and its directory if they do not exist. Throws as open(2). */
  constructor(path: string) {
    this.#path = path;
    this.#fd = openForAppend(path);
  }

  write(line: string): void {
    try {
      if (this.#lostCount > 0) {
        this.#append(lostLine(this.#lostCount));
        this.#lostCount = 0;
      }
      this.#append(line);
    } catch {
      this.#lostCount += 1;
    }
  }

  /**
   * Opens the path again, after the file was renamed. If this fails, the log continues in the file
   * that is open. Throws as open(2).
   */
  reopen(): void {
    const fd = openForAppend(this.#path);
    closeSync(this.#fd);
    this.#fd = fd;
  }

  #append(text: string): void {
    const bytes = Buffer.from(text);
    for (let written = 0; written < bytes.length; ) {
      written += writeSync(this.#fd, bytes, written);
    }
  }
}

function openForAppend(path: string): number {
  mkdirSync(dirname(path), { recursive: true });
  return openSync(path, "a");
}

/** Returns a line in the format of the log. */
function lostLine(count: number): string {
  const message = "Lines of this log could not be written and are lost";
  return `${JSON.stringify({ level: "error", time: new Date().toISOString(), count, message })}\n`;
}
