/** Content of a path: the stamp of its file, or null if there is no file. */
export type Value = number | null;

/** One change of a register. */
export interface Version {
  readonly value: Value;
  readonly invokedAt: number;
  /** Event number of the acknowledgement. Null while the outcome is unknown. */
  settledAt: number | null;
  /** Whether a reader has seen it. */
  isSeen: boolean;
}

/**
 * The values that readers of one path may see, given the changes of its only writer.
 *
 * A register with one writer is linearizable if and only if each read shows a version that (1) was
 * invoked before the read ended, (2) is not older than the last version acknowledged before the
 * read began, and (3) is not older than a version shown by a read that ended before this read began
 * (Lamport 1986, atomic registers). Times are event numbers of one process, so no two are equal.
 */
export class Register {
  readonly path: string;
  #versions: Version[] = [{ value: null, invokedAt: 0, settledAt: 0, isSeen: false }];
  /** Values of changes that did not happen. */
  readonly #refuted: Value[] = [];
  /** The reads that showed a newer version than all reads before them. */
  #floors: { readonly endedAt: number; readonly version: Version }[] = [];

  constructor(path: string) {
    this.path = path;
  }

  /** The current value. @throws {Error} while a change is pending */
  get value(): Value {
    const last = this.#versions.at(-1);
    if (last === undefined || last.settledAt === null) throw new Error(`${this.path} is changing`);
    return last.value;
  }

  /** Records that the writer requests a change. The previous change must be settled. */
  begin(value: Value, now: number): Version {
    if (this.#versions.at(-1)?.settledAt === null) throw new Error(`${this.path} is changing`);
    const version: Version = { value, invokedAt: now, settledAt: null, isSeen: false };
    this.#versions.push(version);
    return version;
  }

  /** Records that the change was acknowledged. */
  acknowledge(version: Version, now: number): void {
    version.settledAt = now;
    this.#prune();
  }

  /**
   * Records that the change did not happen and never will. Returns a violation if a reader saw it.
   */
  refute(version: Version): string | null {
    this.#versions = this.#versions.filter((each) => each !== version);
    this.#refuted.push(version.value);
    if (this.#refuted.length > 20) this.#refuted.shift();
    if (!version.isSeen) return null;
    return `${this.path}: ${version.value} was read, but the change did not happen`;
  }

  /** Checks a read that showed `value`. Returns the violation, or null. */
  observe(value: Value, began: number, ended: number): string | null {
    const oldest = Math.max(this.#acknowledgedBefore(began), this.#shownBefore(began));
    for (let index = oldest; index < this.#versions.length; index += 1) {
      const version = this.#versions[index] as Version;
      if (version.value !== value || version.invokedAt > ended) continue;
      version.isSeen = true;
      const newest = this.#floors.at(-1);
      if (newest === undefined || this.#versions.indexOf(newest.version) < index) {
        this.#floors.push({ endedAt: ended, version });
      }
      return null;
    }
    return this.#violation(value, oldest);
  }

  /** Returns the newest version that was acknowledged before `time`. */
  #acknowledgedBefore(time: number): number {
    for (let index = this.#versions.length - 1; index > 0; index -= 1) {
      const { settledAt } = this.#versions[index] as Version;
      if (settledAt !== null && settledAt < time) return index;
    }
    return 0;
  }

  /** Returns the newest version that a read before `time` showed. */
  #shownBefore(time: number): number {
    let newest = 0;
    for (const { endedAt, version } of this.#floors) {
      if (endedAt < time) newest = Math.max(newest, this.#versions.indexOf(version));
    }
    return newest;
  }

  #violation(value: Value, oldest: number): string {
    const allowed = this.#versions.slice(oldest).map((version) => version.value);
    let kind = "a value that was never written";
    if (this.#versions.some((version) => version.value === value)) kind = "a stale value";
    if (this.#refuted.includes(value)) kind = "a change that did not happen";
    return `${this.path}: a read showed ${value}, ${kind}: expected one of ${allowed.join(", ")}`;
  }

  /** Drops versions that are too old to be shown: a read takes at most some minutes. */
  #prune(): void {
    if (this.#versions.length < 400) return;
    this.#versions = this.#versions.slice(-200);
    this.#floors = this.#floors
      .filter(({ version }) => this.#versions.includes(version))
      .slice(-50);
  }
}
