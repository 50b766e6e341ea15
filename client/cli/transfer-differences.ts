import type { Output } from "./output.ts";

/**
 * What of the transferred files differs from their sources, or was left out on purpose. The summary
 * has one line for each kind, and its JSON a key.
 */
const DIFFERENCES = {
  links: "Symbolic links, stored as the files that they name",
  hard_links: "Names of hard links, stored as separate files",
  owners: "Owners that were not kept, because this user may not give files away",
  temporary: "Temporary files of a get, left out",
  flattened: "Absolute names and names with .., stored in the target itself",
} as const;

/** A kind of difference. */
export type Difference = keyof typeof DIFFERENCES;

/** Counts of the differences of one command. */
export class TransferDifferences {
  readonly #found = new Map<Difference, { count: number; readonly first: string }>();

  /** @param path of the file, for the first of its kind */
  add(difference: Difference, path: string): void {
    const found = this.#found.get(difference);
    if (found === undefined) this.#found.set(difference, { count: 1, first: path });
    else found.count += 1;
  }

  /** Prints a line for each kind. */
  print(output: Output): void {
    for (const [difference, { count, first }] of this.#found) {
      const others = count === 1 ? "" : ", …";
      output.note(`${DIFFERENCES[difference]}: ${count} (${first}${others})`);
    }
  }

  /** Returns the keys of the summary in JSON. */
  toJson(): Record<string, number> {
    return Object.fromEntries([...this.#found].map(([key, { count }]) => [`${key}_count`, count]));
  }
}
