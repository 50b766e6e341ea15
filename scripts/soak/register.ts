/** What a path shows: the stamp of the file there, or null if there is none. */
export type Value = number | null;

/** One change of a register. */
export interface Version {
  readonly value: Value;
  readonly invokedAt: number;
  /** When it was acknowledged; null while nobody knows whether it happened. */
  settledAt: number | null;
  /** A reader saw it. */
  isSeen: boolean;
}

/**
 * What readers of one path may see, given what its only writer did.
 *
 * A register with one writer is linearizable if and only if each read shows a version that (1) was
 * invoked before the read ended, (2) is not older than the last one that was acknowledged before
 * the read began, and (3) is not older than what any read showed that ended before it began
 * (Lamport 1986, atomic registers). Times are counts of events in one process: they never tie.
 */
export class Register {
  readonly path: string;
  #versions: Version[] = [{ value: null, invokedAt: 0, settledAt: 0, isSeen: false }];
  /** Versions that turned out not to have happened. */
  readonly #refuted: Value[] = [];
  /** The reads that showed something newer than every read before them. */
  #floors: { readonly endedAt: number; readonly version: Version }[] = [];

  constructor(path: string) {
    this.path = path;
  }

  /** What must be there now. @throws {Error} while a change is open */
  get value(): Value {
    const last = this.#versions.at(-1);
    if (last === undefined || last.settledAt === null) throw new Error(`${this.path} is changing`);
    return last.value;
  }

  /** The writer asks for a change. The one before must be settled. */
  begin(value: Value, now: number): Version {
    if (this.#versions.at(-1)?.settledAt === null) throw new Error(`${this.path} is changing`);
    const version: Version = { value, invokedAt: now, settledAt: null, isSeen: false };
    this.#versions.push(version);
    return version;
  }

  /** The change is acknowledged. */
  acknowledge(version: Version, now: number): void {
    version.settledAt = now;
    this.#prune();
  }

  /** The change did not happen and never will. @returns a violation if somebody saw it */
  refute(version: Version): string | null {
    this.#versions = this.#versions.filter((each) => each !== version);
    this.#refuted.push(version.value);
    if (this.#refuted.length > 20) this.#refuted.shift();
    if (!version.isSeen) return null;
    return `${this.path}: ${version.value} was read, and then it had not happened`;
  }

  /** A read began, ended and showed `value`. @returns the violation, or null */
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

  /** The newest version that every read that begins at `time` must know of. */
  #acknowledgedBefore(time: number): number {
    for (let index = this.#versions.length - 1; index > 0; index -= 1) {
      const { settledAt } = this.#versions[index] as Version;
      if (settledAt !== null && settledAt < time) return index;
    }
    return 0;
  }

  #shownBefore(time: number): number {
    let newest = 0;
    for (const { endedAt, version } of this.#floors) {
      if (endedAt < time) newest = Math.max(newest, this.#versions.indexOf(version));
    }
    return newest;
  }

  #violation(value: Value, oldest: number): string {
    const allowed = this.#versions.slice(oldest).map((version) => version.value);
    let kind = "a value that was never there";
    if (this.#versions.some((version) => version.value === value)) kind = "a stale value";
    if (this.#refuted.includes(value)) kind = "a change that had not happened";
    return `${this.path}: a read showed ${value}, ${kind}: expected one of ${allowed.join(", ")}`;
  }

  /** Reads take at most minutes: what is so far back cannot be shown rightly any more. */
  #prune(): void {
    if (this.#versions.length < 400) return;
    this.#versions = this.#versions.slice(-200);
    this.#floors = this.#floors
      .filter(({ version }) => this.#versions.includes(version))
      .slice(-50);
  }
}
