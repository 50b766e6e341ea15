import { openSync, readSync } from "node:fs";

/** A period of the main thread of this process, in milliseconds. */
export interface Period {
  readonly wallMs: number;
  /**
   * Processor time of the thread: the period without the waits for a processor and for helper threads
   * that have none. Waits for a disk are missing too.
   */
  readonly cpuMs: number;
}

const BYTES_MAX = 128;

/**
 * Measures periods of the main thread of this process, with the processor time that the kernel counts
 * (field 1 of /proc/PID/schedstat, in ns). Where there is none, both times of a period are equal.
 */
export class ThreadTimes {
  readonly #file = openIfAny(`/proc/${process.pid}/schedstat`);
  readonly #buffer = Buffer.alloc(BYTES_MAX);
  #last: Period = this.#now();

  /** Returns the period since the last call. */
  lap(): Period {
    const before = this.#last;
    this.#last = this.#now();
    return {
      wallMs: this.#last.wallMs - before.wallMs,
      cpuMs: this.#last.cpuMs - before.cpuMs,
    };
  }

  #now(): Period {
    const wallMs = performance.now();
    if (this.#file === null) return { wallMs, cpuMs: wallMs };
    const length = readSync(this.#file, this.#buffer, 0, BYTES_MAX, 0);
    const [cpuNs] = this.#buffer.toString("latin1", 0, length).split(" ");
    return { wallMs, cpuMs: Number(cpuNs) / 1e6 };
  }
}

function openIfAny(path: string): number | null {
  try {
    return openSync(path, "r");
  } catch {
    return null;
  }
}
