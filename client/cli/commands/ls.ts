import { isAshlarError } from "../../../shared/base/errors.ts";
import {
  formatListTime,
  formatMode,
  formatSize,
  jsonAttributes,
  jsonName,
  sizeOf,
} from "../../../shared/display/format.ts";
import type { Attributes } from "../../../shared/protocol/attributes.ts";
import type { FileSystem } from "../../file-system.ts";
import type { ReadOptions } from "../../options.ts";
import type { DirectoryEntry } from "../../results.ts";
import type { CommandContext, OptionValues, RunCommand } from "../command.ts";
import { forEachItem, severalOf } from "../each-item.ts";
import { listBelow } from "../list-below.ts";
import { AHEAD_MAX, ListingsAhead } from "../listings-ahead.ts";
import { expandPaths } from "../patterns/expand-paths.ts";
import { readOptionsOf } from "../read-options.ts";
import { childPath, type RemotePath, remotePath } from "../remote-paths.ts";

/** Ends a path of --null. No path contains it. */
const NUL = Buffer.of(0);

/** One row of a listing. */
interface Row {
  readonly path: RemotePath;
  /** The name in its directory, or the argument itself. */
  readonly nameText: string;
  readonly attributes: Attributes;
}

/** Columns are aligned within batches of this many rows: a listing of any length streams. */
const BATCH_ROWS = 500;

export const run: RunCommand = async (context, commandArguments, options) => {
  const fileSystem = await context.fileSystem();
  const roots = commandArguments.length === 0 ? ["/"] : commandArguments;
  const readOptions = await readOptionsOf(context, options);
  const glob = options["glob"] !== false;
  const printer = new RowPrinter(context, options);
  const { isSeveral, items } = await severalOf(expandPaths(context, roots, { glob, readOptions }));
  const hasHeadings = isSeveral || options["recursive"] === true;
  await forEachItem(context, items, async (found) => {
    if (found.kind === "failed") throw found.error;
    for await (const section of sections(fileSystem, found.path, { readOptions, options })) {
      if (hasHeadings && section.heading !== null) await printer.heading(section.heading.text);
      await printer.print(section.rows);
    }
  });
};

/** The rows of one directory or of one argument. */
interface Section {
  /** The listed directory; null for the argument itself. */
  readonly heading: RemotePath | null;
  readonly rows: AsyncIterable<Row>;
}

interface ListRequest {
  readonly readOptions: ReadOptions;
  readonly options: OptionValues;
}

/** Yields the directories in the order of `ls -R`: a directory before its subdirectories. */
async function* sections(
  fileSystem: FileSystem,
  path: RemotePath,
  { readOptions, options }: ListRequest,
): AsyncGenerator<Section> {
  const isListed = options["directory"] !== true;
  const top = isListed ? await listIfDirectory(fileSystem, path, readOptions) : null;
  if (top === null) {
    const attributes = await fileSystem.stat(path.bytes, readOptions);
    yield { heading: null, rows: single({ path, nameText: path.text, attributes }) };
    return;
  }
  const list = (directory: RemotePath) => listBelow(fileSystem, directory.bytes, readOptions);
  await using ahead = new ListingsAhead(list);
  const isRecursive = options["recursive"] === true;
  const waiting: RemotePath[] = [path];
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const entries = next === path ? top : ahead.take(next);
    const below: RemotePath[] | null = isRecursive ? [] : null;
    yield { heading: next, rows: rowsOf(next, entries, { options, below }) };
    for (const directory of below?.reverse() ?? []) waiting.push(directory);
    ahead.prepare(waiting.slice(-AHEAD_MAX).reverse());
  }
}

/** Returns the listing of a directory after its first answer; null for a file. */
async function listIfDirectory(
  fileSystem: FileSystem,
  path: RemotePath,
  readOptions: ReadOptions,
): Promise<AsyncIterable<DirectoryEntry> | null> {
  const entries = fileSystem.list(path.bytes, readOptions)[Symbol.asyncIterator]();
  try {
    const first = await entries.next();
    return startedListing(first, entries);
  } catch (error) {
    if (isAshlarError(error, "NOT_A_DIRECTORY")) return null;
    throw error;
  }
}

async function* startedListing(
  first: IteratorResult<DirectoryEntry>,
  rest: AsyncIterator<DirectoryEntry>,
): AsyncGenerator<DirectoryEntry> {
  try {
    for (let next = first; next.done !== true; next = await rest.next()) yield next.value;
  } finally {
    await rest.return?.();
  }
}

async function* single(row: Row): AsyncGenerator<Row> {
  yield row;
}

/** Yields the rows of a directory, and adds its directories to `below`. */
async function* rowsOf(
  directory: RemotePath,
  entries: AsyncIterable<DirectoryEntry>,
  { options, below }: Pick<ListRequest, "options"> & { readonly below: RemotePath[] | null },
): AsyncGenerator<Row> {
  const limit = options["limit"] as number | undefined;
  let count = 0;
  for await (const entry of entries) {
    if (count === limit) return;
    count += 1;
    const path = remotePath(childPath(directory.bytes, entry.name));
    if (entry.attributes.kind === "directory") below?.push(path);
    yield { path, nameText: entry.displayName, attributes: entry.attributes };
  }
}

/** Prints rows as they arrive, or sorted after the last one. */
class RowPrinter {
  readonly #context: CommandContext;
  readonly #options: OptionValues;
  #hasPrinted = false;

  constructor(context: CommandContext, options: OptionValues) {
    this.#context = context;
    this.#options = options;
  }

  async heading(text: string): Promise<void> {
    if (this.#context.output.options.json || this.#options["null"] === true) return;
    if (this.#hasPrinted) await this.#context.output.line("");
    this.#hasPrinted = true;
    await this.#context.output.line(`${text}:`);
  }

  async print(rows: AsyncIterable<Row>): Promise<void> {
    const compare = this.#order();
    let batch: Row[] = [];
    for await (const row of rows) {
      batch.push(row);
      if (compare !== null || batch.length < BATCH_ROWS) continue;
      await this.#printBatch(batch);
      batch = [];
    }
    if (compare !== null) batch.sort(compare);
    await this.#printBatch(batch);
  }

  /** Returns the comparison for the sort; null for the order of names, in which rows arrive. */
  #order(): ((left: Row, right: Row) => number) | null {
    const sign = this.#options["reverse"] === true ? -1 : 1;
    if (this.#options["sortTime"] === true) {
      return (left, right) => sign * (right.attributes.mtimeMs - left.attributes.mtimeMs);
    }
    if (this.#options["sortSize"] === true) {
      return (left, right) => sign * (sizeOf(right.attributes) - sizeOf(left.attributes));
    }
    return sign === 1 ? null : (left, right) => Buffer.compare(right.path.bytes, left.path.bytes);
  }

  async #printBatch(rows: readonly Row[]): Promise<void> {
    const { output } = this.#context;
    if (rows.length === 0) return;
    if (output.options.json) {
      for (const { path, attributes } of rows) {
        await output.json("ashlar.ls/1", {
          ...jsonName("path", path.bytes),
          ...jsonAttributes(attributes),
        });
      }
      return;
    }
    this.#hasPrinted = true;
    if (this.#options["null"] === true) {
      await output.bytes(Buffer.concat(rows.flatMap(({ path }) => [path.bytes, NUL])));
      return;
    }
    const lines = this.#options["long"] === true ? this.#longLines(rows) : rows.map(this.#name);
    await output.bytes(Buffer.from(`${lines.join("\n")}\n`));
  }

  #longLines(rows: readonly Row[]): string[] {
    const isHuman = this.#options["humanReadable"] === true;
    const cells = rows.map(({ attributes }) => [
      formatMode(attributes),
      attributes.kind === "file" ? String(attributes.copiesWanted) : "-",
      String(attributes.uid),
      String(attributes.gid),
      formatSize(sizeOf(attributes), isHuman),
      formatListTime(attributes.mtimeMs),
    ]);
    const widths = [0, 1, 2, 3, 4, 5].map((column) =>
      Math.max(...cells.map((row) => row[column]?.length ?? 0)),
    );
    return rows.map((row, index) => {
      const columns = (cells[index] ?? []).map((cell, column) =>
        cell.padStart(widths[column] ?? 0),
      );
      return `${columns.join(" ")} ${this.#name(row)}`;
    });
  }

  readonly #name = (row: Row): string => {
    if (row.attributes.kind !== "directory") return row.nameText;
    return this.#context.output.paint(["bold", "blue"], row.nameText);
  };
}
