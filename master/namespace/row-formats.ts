import { AshlarError } from "../../shared/base/errors.ts";
import { FEATURE_LEVEL_MAX } from "./feature-levels.ts";
import type { TABLE_BYTE } from "./keys.ts";

/** The name of a table. Names are on disk. */
type TableName = keyof typeof TABLE_BYTE;

/**
 * The feature levels that raised the format of each table: the first level of a list has format 1 of its table,
 * and each later level raises it by 1. A program reads all formats up to its highest one. So rows
 * are not rewritten when the level rises. New rows have the highest format of the level of the cluster.
 *
 * A format says which rows a table may have, also of which kinds and with which fields. A row tells its own
 * format: by its fields, by its key, or by its version (`RECORD_VERSION`), which is the first byte of a row of
 * tree-tables.ts and the first field of all others. See docs/decisions/0021, and "How to change the rows of a
 * table" in CONTRIBUTING.md.
 */
const RAISED_AT: Readonly<Record<TableName, readonly number[]>> = {
  chunk: [1],
  content: [1],
  directory: [1, 6], // 6: the directory of the unfinished trees
  entry: [1, 6], // 6: unfinished trees
  feed: [1],
  history: [1],
  inode: [1, 11], // 11: content roots over segments
  // The row of a restore, which no entry writes, is there at all levels: an older program ignores it.
  meta: [1, 3, 9, 13, 14], // sums of uploads, steps of the clock, enrolment, formats
  outcome: [1, 8], // 8: reasons in place of words
  position: [1],
  purge: [1],
  reclaim: [1, 3, 12, 14], // the kinds "staged", "copies" and "removed"
  removedServer: [10],
  replica: [1],
  server: [1],
  session: [1],
  staged: [3, 11], // 11: segments
  stagedTotals: [3],
  storageClass: [1],
  time: [1],
  tombstone: [1],
  tombstoneAge: [1],
  underReplicated: [1],
};

/** The formats of tables by their names. */
export type RowFormats = ReadonlyMap<string, number>;

/** Returns the formats of the tables that a cluster at a feature level may have, in the order of their names. */
export function formatsAt(level: number): RowFormats {
  const formats = new Map<string, number>();
  for (const [name, levels] of Object.entries(RAISED_AT)) {
    const format = levels.filter((each) => each <= level).length;
    if (format > 0) formats.set(name, format);
  }
  return formats;
}

/**
 * Checks that a program can read rows of these formats.
 *
 * @param levelMax the highest feature level of the program
 * @throws {AshlarError} VERSION_MISMATCH with the first table that has a newer format
 */
export function checkFormats(formats: RowFormats, levelMax = FEATURE_LEVEL_MAX): void {
  const known = formatsAt(levelMax);
  for (const [name, format] of formats) {
    const highest = known.get(name) ?? 0;
    if (format <= highest) continue;
    throw new AshlarError(
      "VERSION_MISMATCH",
      `Cannot open the namespace: expected format ${highest} or lower of the table ${name}: current value is ${format}`,
      { hint: "Run the version of the other masters on this master" },
    );
  }
}
