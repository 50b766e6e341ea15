import { formatSize, jsonName, sizeOf } from "../../../shared/display/format.ts";
import type { Attributes } from "../../../shared/protocol/attributes.ts";
import type { CommandContext, OptionValues, RunCommand } from "../command.ts";
import { forEachPath } from "../patterns/expand-paths.ts";
import { type RemotePath, remotePath } from "../remote-paths.ts";

const CELL_WIDTH = 11;

interface Usage {
  /** Sum of the file sizes. */
  logicalBytes: number;
  /** Sum of the file sizes times their replica counts. */
  rawBytes: number;
  files: number;
  directories: number;
}

/** A directory whose entries are being added up. */
interface OpenDirectory {
  readonly path: Uint8Array;
  readonly depth: number;
  readonly usage: Usage;
}

export const run: RunCommand = async (context, commandArguments, options) => {
  const { signal } = context;
  const fileSystem = await context.fileSystem();
  const roots = commandArguments.length === 0 ? ["/"] : commandArguments;
  const depthMax =
    options["summarize"] === true
      ? 0
      : ((options["depth"] as number | undefined) ?? Number.POSITIVE_INFINITY);
  await printHeadings(context, options);
  const task = async (path: RemotePath): Promise<void> => {
    const attributes = await fileSystem.stat(path.bytes, { signal });
    // The open directories from the argument down. The walk closes the innermost first.
    const open: OpenDirectory[] = [{ path: path.bytes, depth: 0, usage: usageOf(attributes) }];
    const closeDownTo = async (depth: number): Promise<void> => {
      while (open.length > depth) {
        const closed = open.pop() as OpenDirectory;
        const parent = open.at(-1);
        if (parent !== undefined) add(parent.usage, closed.usage);
        if (closed.depth > depthMax) continue;
        await printUsage({ context, options }, remotePath(closed.path), closed.usage);
      }
    };
    if (attributes.kind === "directory") {
      for await (const entry of fileSystem.walk(path.bytes, { signal })) {
        await closeDownTo(entry.depth);
        const usage = usageOf(entry.attributes);
        if (entry.attributes.kind === "directory") {
          open.push({ path: entry.pathBytes, depth: entry.depth, usage });
        } else add((open.at(-1) as OpenDirectory).usage, usage);
      }
    }
    await closeDownTo(0);
  };
  await forEachPath(context, roots, { glob: options["glob"] !== false, task });
};

/** Names the columns on a terminal. Elsewhere every line has the form of du(1). */
async function printHeadings({ output }: CommandContext, options: OptionValues): Promise<void> {
  if (!output.isTerminal) return;
  const headings = options["inodes"] === true ? ["INODES"] : ["SIZE", "WITH COPIES"];
  await output.line(`${cellsText(headings)}  PATH`);
}

/** Returns the cells right-aligned. */
function cellsText(cells: readonly string[]): string {
  return cells.map((cell) => cell.padStart(CELL_WIDTH)).join(" ");
}

function usageOf(attributes: Attributes): Usage {
  const logicalBytes = sizeOf(attributes);
  const isFile = attributes.kind === "file";
  // The masters hold an inline file; chunkservers have no replica of it.
  const copies = isFile && !attributes.isInline ? attributes.copiesWanted : 1;
  return {
    logicalBytes,
    rawBytes: logicalBytes * copies,
    files: isFile ? 1 : 0,
    directories: isFile ? 0 : 1,
  };
}

function add(total: Usage, part: Usage): void {
  total.logicalBytes += part.logicalBytes;
  total.rawBytes += part.rawBytes;
  total.files += part.files;
  total.directories += part.directories;
}

async function printUsage(
  { context, options }: { readonly context: CommandContext; readonly options: OptionValues },
  path: RemotePath,
  usage: Usage,
): Promise<void> {
  const { output } = context;
  if (output.options.json) {
    await output.json("ashlar.du/1", {
      ...jsonName("path", path.bytes),
      logical_bytes: usage.logicalBytes,
      raw_bytes: usage.rawBytes,
      files: usage.files,
      directories: usage.directories,
    });
    return;
  }
  const isHuman = options["humanReadable"] === true || output.isTerminal;
  const cells =
    options["inodes"] === true
      ? [String(usage.files + usage.directories)]
      : [formatSize(usage.logicalBytes, isHuman), formatSize(usage.rawBytes, isHuman)];
  await output.line(`${cellsText(cells)}  ${path.text}`);
}
