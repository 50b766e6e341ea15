import { stripVTControlCharacters } from "node:util";
import Table from "cli-table3";

const PLAIN = {
  top: "",
  "top-mid": "",
  "top-left": "",
  "top-right": "",
  bottom: "",
  "bottom-mid": "",
  "bottom-left": "",
  "bottom-right": "",
  left: "",
  "left-mid": "",
  mid: "",
  "mid-mid": "",
  right: "",
  "right-mid": "",
  middle: "  ",
};

/** A column of a table. */
export interface Column {
  readonly heading: string;
  readonly isRight?: boolean;
  /** The column with the highest rank is dropped first if the table is too wide; 0: never. */
  readonly dropRank?: number;
}

/**
 * Returns rows in aligned columns under headings, without rules: easy to read and to parse.
 *
 * A table that is wider than `columnsMax` loses columns, in the order of `dropRank`. If it is still
 * too wide, each row becomes a block of lines "HEADING  value". No cell is ever wrapped.
 */
export function formatTable(
  columns: readonly Column[],
  rows: ReadonlyArray<readonly string[]>,
  columnsMax = Number.POSITIVE_INFINITY,
): string {
  let kept = columns.map((column, index) => ({ ...column, index }));
  for (;;) {
    const cells = rows.map((row) => kept.map(({ index }) => row[index] ?? ""));
    const lines = tableLines(kept, cells);
    if (widthOf(lines) <= columnsMax) return lines.join("\n");
    const rank = Math.max(...kept.map(({ dropRank = 0 }) => dropRank));
    if (rank === 0) return stacked(columns, rows);
    kept = kept.filter(({ dropRank = 0 }) => dropRank !== rank);
  }
}

function tableLines(
  columns: readonly Column[],
  rows: ReadonlyArray<readonly string[]>,
): readonly string[] {
  const table = new Table({
    head: columns.map(({ heading }) => heading),
    chars: PLAIN,
    style: { "padding-left": 0, "padding-right": 0, head: [], border: [] },
    colAligns: columns.map(({ isRight }) => (isRight === true ? "right" : "left")),
  });
  for (const row of rows) table.push([...row]);
  return table
    .toString()
    .split("\n")
    .map((line) => line.trimEnd());
}

/** Returns a block of lines for each row, with all columns. */
function stacked(columns: readonly Column[], rows: ReadonlyArray<readonly string[]>): string {
  const width = Math.max(...columns.map(({ heading }) => heading.length));
  const blocks = rows.map((row) =>
    columns
      .map(({ heading }, index) => `${heading.padEnd(width)}  ${row[index] ?? ""}`.trimEnd())
      .join("\n"),
  );
  return blocks.join("\n\n");
}

/** Returns the number of characters in the longest line, without those that only set a colour. */
function widthOf(lines: readonly string[]): number {
  return Math.max(0, ...lines.map((line) => [...stripVTControlCharacters(line)].length));
}
