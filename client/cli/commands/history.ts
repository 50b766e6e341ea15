import { displayName } from "../../../shared/base/path.ts";
import {
  formatSize,
  formatTime,
  jsonAttributes,
  jsonName,
} from "../../../shared/display/format.ts";
import type { PathVersion } from "../../results.ts";
import type { CommandContext, RunCommand } from "../command.ts";
import { forEachItem } from "../each-item.ts";
import { readOptionsOf } from "../read-options.ts";
import { parseRemotePath, type RemotePath } from "../remote-paths.ts";
import { type Column, formatTable } from "../table-view.ts";

/** Columns are aligned within batches of this many rows. */
const BATCH_ROWS = 500;
const ROOT_SHOWN_DIGITS = 12;
const COLUMNS: readonly Column[] = [
  { heading: "INDEX", isRight: true },
  { heading: "TIME (UTC)" },
  { heading: "CHANGE" },
  { heading: "KIND", dropRank: 2 },
  { heading: "SIZE", isRight: true },
  { heading: "ROOT", dropRank: 3 },
  { heading: "OTHER PATH", dropRank: 1 },
];

export const run: RunCommand = async (context, commandArguments, options) => {
  const fileSystem = await context.fileSystem();
  const readOptions = await readOptionsOf(context, options);
  const limit = (options["limit"] as number | undefined) ?? Number.MAX_SAFE_INTEGER;
  const isHuman = options["humanReadable"] === true || context.output.isTerminal;
  const paths = commandArguments.map(parseRemotePath);
  await forEachItem(context, paths, async (path) => {
    if (paths.length > 1) await printHeading(context, path, path !== paths[0]);
    let batch: PathVersion[] = [];
    let count = 0;
    for await (const version of fileSystem.history(path.bytes, readOptions)) {
      if (count === limit) break;
      count += 1;
      batch.push(version);
      if (batch.length < BATCH_ROWS) continue;
      await print(context, path, batch, isHuman);
      batch = [];
    }
    await print(context, path, batch, isHuman);
    if (count === 0) context.output.note(`no history of ${path.text}`);
  });
};

async function printHeading(
  { output }: CommandContext,
  path: RemotePath,
  isSeparated: boolean,
): Promise<void> {
  if (output.options.json) return;
  if (isSeparated) await output.line("");
  await output.line(`${path.text}:`);
}

async function print(
  { output }: CommandContext,
  path: RemotePath,
  versions: readonly PathVersion[],
  isHuman: boolean,
): Promise<void> {
  if (versions.length === 0) return;
  if (output.options.json) {
    for (const version of versions) {
      await output.json("ashlar.history/1", jsonVersion(path, version));
    }
    return;
  }
  const rows = versions.map((version) => row(version, isHuman));
  await output.line(formatTable(COLUMNS, rows, output.columns));
}

function row({ index, timeMs, change, attributes, otherPathBytes }: PathVersion, isHuman: boolean) {
  const isFile = attributes?.kind === "file";
  return [
    String(index),
    formatTime(timeMs),
    change,
    attributes?.kind ?? "-",
    isFile ? formatSize(attributes.sizeBytes, isHuman) : "-",
    isFile ? rootOf(attributes.contentRoot).slice(0, ROOT_SHOWN_DIGITS) : "-",
    otherPathBytes === null ? "" : displayName(otherPathBytes),
  ];
}

const rootOf = (root: Uint8Array): string => Buffer.from(root).toString("hex");

function jsonVersion(path: RemotePath, version: PathVersion): Record<string, unknown> {
  const { index, timeMs, change, attributes, otherPathBytes } = version;
  return {
    ...jsonName("path", path.bytes),
    index,
    time: formatTime(timeMs),
    change,
    attributes: attributes === null ? null : jsonAttributes(attributes),
    ...(otherPathBytes === null ? {} : jsonName("other_path", otherPathBytes)),
  };
}
