import { present } from "../../../shared/base/assert.ts";
import type { NameInput, NameOutput } from "./directory-operations.ts";
import type { History } from "./history.ts";

/** A file that reads returned at one version. */
export interface Sighting {
  readonly value: string;
  /** Number of reads that returned this file at this version. At least 1. */
  readonly readCount: number;
}

/** A version in an answer. */
interface Observed {
  readonly version: number;
  /** Whether the change with this version has no answer, so that only reads show it. */
  readonly isUnanswered: boolean;
  /** The files that reads returned at this version, by name. */
  readonly sightings: ReadonlyMap<string, Sighting>;
}

interface Draft {
  readonly version: number;
  isUnanswered: boolean;
  readonly sightings: Map<string, Sighting>;
}

/**
 * The versions in the answers of a history, and the files that reads returned at each of them.
 *
 * A version is the log index of a change, so the changes of every valid order have increasing
 * versions. This shows where an unanswered change took effect if a read returned its version.
 */
export class ObservedVersions {
  readonly #ascending: readonly Observed[];
  readonly #byVersion: ReadonlyMap<number, Observed>;
  /** The highest version at which a read returned each value. */
  readonly #lastVersions = new Map<string, number>();
  /** The highest version of an unanswered change at which a read returned a name and a value. */
  readonly #lastUnanswered = new Map<string, number>();
  /** The number of puts of each value, answered or not. */
  readonly #putCounts = new Map<string, number>();

  constructor(history: History<NameInput, NameOutput>) {
    for (const { input } of history) {
      for (const value of valuesOf(input)) {
        this.#putCounts.set(value, (this.#putCounts.get(value) ?? 0) + 1);
      }
    }
    this.#byVersion = observedIn(history);
    this.#ascending = [...this.#byVersion.values()].sort(
      (left, right) => left.version - right.version,
    );
    for (const { version, isUnanswered, sightings } of this.#ascending) {
      for (const [name, { value }] of sightings) {
        this.#lastVersions.set(value, version);
        if (isUnanswered) this.#lastUnanswered.set(fileText(name, value), version);
      }
    }
  }

  /** Returns the files that reads returned at `version`, by name. */
  sightingsAt(version: number): ReadonlyMap<string, Sighting> {
    return this.#byVersion.get(version)?.sightings ?? new Map();
  }

  /**
   * Returns the observed versions between two versions, in ascending order. Null if one of them
   * belongs to an answered change.
   */
  unansweredBetween(range: {
    readonly after: number;
    readonly before: number;
  }): readonly number[] | null {
    const versions: number[] = [];
    for (let index = this.#indexAfter(range.after); index < this.#ascending.length; index += 1) {
      const { version, isUnanswered } = present(
        this.#ascending[index],
        "the index is in the array",
      );
      if (version >= range.before) break;
      if (!isUnanswered) return null;
      versions.push(version);
    }
    return versions;
  }

  /** Returns whether a read returned `value` at a version after `version`. */
  isSeenAfter(version: number, value: string): boolean {
    return (this.#lastVersions.get(value) ?? 0) > version;
  }

  /** Returns whether a read shows that an unanswered change after `version` wrote this file. */
  isShownAfter(version: number, name: string, value: string): boolean {
    return (this.#lastUnanswered.get(fileText(name, value)) ?? 0) > version;
  }

  /** Returns whether exactly one change of the history writes `value`. */
  isPutOnce(value: string): boolean {
    return this.#putCounts.get(value) === 1;
  }

  /** Returns the index of the first observed version after `version`. */
  #indexAfter(version: number): number {
    let low = 0;
    let high = this.#ascending.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (present(this.#ascending[middle], "the index is in the array").version <= version) {
        low = middle + 1;
      } else high = middle;
    }
    return low;
  }
}

function observedIn(history: History<NameInput, NameOutput>): ReadonlyMap<number, Observed> {
  const drafts = new Map<number, Draft>();
  const draftOf = (version: number): Draft => {
    const draft = drafts.get(version) ?? { version, isUnanswered: true, sightings: new Map() };
    drafts.set(version, draft);
    return draft;
  };
  for (const { input, output } of history) {
    if (output?.kind === "done") draftOf(output.version).isUnanswered = false;
    if (input.kind !== "read" || output?.kind !== "found") continue;
    const { value, version } = output;
    const { sightings } = draftOf(version);
    // Reads with two values at one version fit no state, so no order is found.
    const readCount = (sightings.get(input.name)?.readCount ?? 0) + 1;
    sightings.set(input.name, { value, readCount });
  }
  return drafts;
}

/** Returns the values that an operation puts. A created file has the value "". */
function valuesOf(input: NameInput): readonly string[] {
  if (input.kind === "put") return [input.value];
  if (input.kind === "create") return [""];
  return input.kind === "transact" ? input.steps.flatMap(valuesOf) : [];
}

const fileText = (name: string, value: string): string => JSON.stringify([name, value]);
