import { displayName } from "../../../shared/base/path.ts";
import {
  formatCount,
  formatSize,
  jsonAttributes,
  jsonName,
  sizeOf,
} from "../../../shared/display/format.ts";
import type { FileSystem } from "../../file-system.ts";
import type { DirectoryEntry } from "../../results.ts";
import type { CommandContext, OptionValues, RunCommand } from "../command.ts";
import { listBelow } from "../list-below.ts";
import { childPath, parseRemotePath } from "../remote-paths.ts";

type Listing = AsyncIterable<DirectoryEntry>;

/** An open listing: one directory on the path to the current entry. */
interface Level {
  readonly path: Uint8Array;
  readonly entries: AsyncIterator<DirectoryEntry>;
  /** Text before every entry of this level: the lines of the levels above. */
  readonly indent: string;
  /** The next entry, read ahead: null if the current entry is the last. */
  next: DirectoryEntry | null;
}

export const run: RunCommand = async (context, commandArguments, options) => {
  const { output } = context;
  const fileSystem = await context.fileSystem();
  const root = parseRemotePath(commandArguments[0] ?? "/");
  const counts = { directories: 0, files: 0 };
  if (!output.options.json) await output.line(root.text);
  await draw({ context, options, fileSystem, counts }, root.bytes);
  if (!output.options.json) {
    await output.line("");
    await output.line(
      `${formatCount(counts.directories, "directory", "directories")}, ${formatCount(counts.files, "file")}`,
    );
  }
};

interface Drawing {
  readonly context: CommandContext;
  readonly options: OptionValues;
  readonly fileSystem: FileSystem;
  readonly counts: { directories: number; files: number };
}

/** Draws depth-first with one open listing per level, so memory is bounded by the depth alone. */
async function draw(drawing: Drawing, root: Uint8Array): Promise<void> {
  const levelMax = (drawing.options["level"] as number | undefined) ?? Number.POSITIVE_INFINITY;
  const { fileSystem, context } = drawing;
  const { signal } = context;
  const listing = fileSystem.list(root, { signal });
  const levels: Level[] = [await openLevel(drawing, { path: root, listing, indent: "" })];
  while (levels.length > 0) {
    const level = levels.at(-1) as Level;
    const entry = level.next;
    if (entry === null) {
      levels.pop();
      continue;
    }
    level.next = await nextShown(drawing, level.entries);
    const isLast = level.next === null;
    await drawEntry(drawing, { entry, level, depth: levels.length, isLast });
    if (entry.attributes.kind !== "directory" || levels.length >= levelMax) continue;
    const indent = level.indent + (isLast ? "    " : "│   ");
    const path = childPath(level.path, entry.name);
    const below = listBelow(fileSystem, path, { signal });
    levels.push(await openLevel(drawing, { path, listing: below, indent }));
  }
}

async function openLevel(
  drawing: Drawing,
  { path, listing, indent }: Pick<Level, "path" | "indent"> & { readonly listing: Listing },
): Promise<Level> {
  const entries = listing[Symbol.asyncIterator]();
  return { path, entries, indent, next: await nextShown(drawing, entries) };
}

async function nextShown(
  drawing: Drawing,
  entries: AsyncIterator<DirectoryEntry>,
): Promise<DirectoryEntry | null> {
  for (;;) {
    const { done, value } = await entries.next();
    if (done === true) return null;
    if (value.attributes.kind === "directory" || drawing.options["directories"] !== true) {
      return value;
    }
  }
}

async function drawEntry(
  drawing: Drawing,
  position: {
    readonly entry: DirectoryEntry;
    readonly level: Level;
    readonly depth: number;
    readonly isLast: boolean;
  },
): Promise<void> {
  const { entry, level, depth, isLast } = position;
  const { output } = drawing.context;
  const isDirectory = entry.attributes.kind === "directory";
  if (isDirectory) drawing.counts.directories += 1;
  else drawing.counts.files += 1;
  if (output.options.json) {
    await output.json("ashlar.tree/1", {
      ...jsonName("path", childPath(level.path, entry.name)),
      depth,
      ...jsonAttributes(entry.attributes),
    });
    return;
  }
  const name = displayName(entry.name);
  const size =
    drawing.options["humanReadable"] === true && !isDirectory
      ? `[${formatSize(sizeOf(entry.attributes), true).padStart(8)}]  `
      : "";
  const label = isDirectory ? output.paint(["bold", "blue"], name) : name;
  await output.line(`${level.indent}${isLast ? "└── " : "├── "}${size}${label}`);
}
