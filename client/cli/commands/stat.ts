import { toHex } from "../../../shared/base/bytes.ts";
import { displayName } from "../../../shared/base/path.ts";
import {
  formatCount,
  formatMode,
  formatTime,
  jsonAttributes,
  jsonName,
  sizeOf,
} from "../../../shared/display/format.ts";
import type { Attributes } from "../../../shared/protocol/attributes.ts";
import type { RunCommand } from "../command.ts";
import { forEachPath } from "../patterns/expand-paths.ts";
import { readOptionsOf } from "../read-options.ts";
import { baseName, type RemotePath } from "../remote-paths.ts";

export const run: RunCommand = async (context, commandArguments, options) => {
  const { output } = context;
  const fileSystem = await context.fileSystem();
  const format = options["format"] as string | undefined;
  const readOptions = await readOptionsOf(context, options);
  const glob = options["glob"] !== false;
  const task = async (path: RemotePath): Promise<void> => {
    const attributes = await fileSystem.stat(path.bytes, readOptions);
    if (output.options.json) {
      await output.json("ashlar.stat/1", {
        ...jsonName("path", path.bytes),
        ...jsonAttributes(attributes),
      });
    } else if (format === undefined) {
      for (const line of describe(path, attributes)) await output.line(line);
    } else {
      await output.line(expandFormat(format, path, attributes));
    }
  };
  await forEachPath(context, commandArguments, { glob, readOptions, task });
};

function describe(path: RemotePath, attributes: Attributes): string[] {
  const { inode, mode, uid, gid, mtimeMs, ctimeMs, version, storageClass } = attributes;
  const lines = [
    `  Path: ${path.text}`,
    `  Kind: ${attributes.kind}   Inode: ${inode}   Version: ${version}`,
    `  Mode: ${mode.toString(8).padStart(4, "0")} (${formatMode(attributes)})   Owner: ${uid}:${gid}   Class: ${storageClass}`,
  ];
  if (attributes.kind === "directory") {
    lines.push(`Entries: ${attributes.entryCount}`);
  } else {
    const { sizeBytes, chunkCount, isInline, copiesWanted, contentRoot } = attributes;
    const where = isInline
      ? "inline"
      : `${formatCount(chunkCount, "chunk")}, ${formatCount(copiesWanted, "copy", "copies")}`;
    lines.push(
      `  Size: ${formatCount(sizeBytes, "byte")} (${where})`,
      `  Root: ${toHex(contentRoot)}`,
    );
  }
  lines.push(`Modify: ${formatTime(mtimeMs)}`, `Change: ${formatTime(ctimeMs)}`);
  return lines;
}

/** Expands the directives of `hdfs dfs -stat` that apply here. Keeps all other directives. */
function expandFormat(format: string, path: RemotePath, attributes: Attributes): string {
  const values: Readonly<Record<string, string>> = {
    n: displayName(baseName(path.bytes)) || "/",
    N: path.text,
    F: attributes.kind,
    b: String(sizeOf(attributes)),
    a: attributes.mode.toString(8),
    A: formatMode(attributes),
    u: String(attributes.uid),
    g: String(attributes.gid),
    y: formatTime(attributes.mtimeMs),
    Y: String(attributes.mtimeMs),
    r: attributes.kind === "file" ? String(attributes.copiesWanted) : "0",
    o: attributes.kind === "file" ? String(attributes.chunkSizeBytes) : "0",
    i: String(attributes.inode),
    "%": "%",
  };
  return format.replace(/%(.)/g, (directive, letter: string) => values[letter] ?? directive);
}
