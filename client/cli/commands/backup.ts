import { rename, rm } from "node:fs/promises";
import { basename, dirname, resolve } from "node:path";
import { toHex } from "../../../shared/base/bytes.ts";
import { AshlarError } from "../../../shared/base/errors.ts";
import { formatCount, formatSize } from "../../../shared/display/format.ts";
import { errnoWords } from "../../../shared/platform/errno-words.ts";
import { createHasher } from "../../../shared/platform/hasher.ts";
import { NodeDisk } from "../../../shared/platform/node-disk.ts";
import { openReadable } from "../../../shared/platform/readable-file.ts";
import type { BackupHead } from "../../../shared/protocol/backup-api.ts";
import { BackupReader, BackupWriter } from "../../../shared/protocol/backup-file.ts";
import type { BackupPart } from "../../results.ts";
import type { CommandContext, RunCommand } from "../command.ts";
import { ProgressBar } from "../progress.ts";

/** Facts about a backup that was written or verified. */
interface BackupSummary {
  readonly head: BackupHead;
  readonly rowCount: number;
  readonly sizeBytes: number;
}

export const run: RunCommand = async (context, [file], options) => {
  if (file === undefined)
    throw new AshlarError("INVALID_ARGUMENT", "Cannot back up: expected the path of a file");
  const path = resolve(context.env.workingDirectory, file);
  const isVerify = options["verify"] === true;
  const bar = new ProgressBar(context, {
    title: isVerify ? "verify" : "backup",
    totalBytes: null,
  });
  try {
    const summary = isVerify
      ? await verify(context, path, bar)
      : await write(context, path, { bar, isForced: options["force"] === true });
    bar.end();
    await print(context, path, { summary, isVerify });
  } finally {
    bar.end();
  }
};

/**
 * Writes the backup under a temporary name, verifies it and renames it: a file with the final name
 * is a complete backup.
 */
async function write(
  context: CommandContext,
  path: string,
  { bar, isForced }: { readonly bar: ProgressBar; readonly isForced: boolean },
): Promise<BackupSummary> {
  const disk = new NodeDisk(dirname(path));
  if (!isForced && (await disk.list(".")).some((entry) => entry.name === basename(path))) {
    throw new AshlarError("ALREADY_EXISTS", `Cannot write the backup ${path}: file exists`, {
      hint: "Choose another name, or pass --force to replace the file",
    });
  }
  const partial = `${path}.partial-${process.pid}`;
  try {
    await receive(context, { disk, name: basename(partial), bar });
    const summary = await verify(context, partial, bar);
    await rename(partial, path);
    await disk.syncDirectory(".");
    return summary;
  } finally {
    await rm(partial, { force: true });
  }
}

async function receive(
  context: CommandContext,
  target: { readonly disk: NodeDisk; readonly name: string; readonly bar: ProgressBar },
): Promise<void> {
  const fileSystem = await context.fileSystem();
  const file = await target.disk.open(target.name, "create");
  try {
    const writer = new BackupWriter(file, createHasher().hasher);
    for await (const part of fileSystem.backup({ signal: context.signal })) {
      await writePart(writer, part);
      target.bar.update(writer.writtenBytes);
    }
    await writer.end();
    await file.sync();
  } finally {
    await file.close();
  }
}

function writePart(writer: BackupWriter, part: BackupPart): Promise<void> {
  if (part.kind === "head") return writer.begin(part.head);
  return writer.part(part.bytes, part.rowCount);
}

async function verify(
  context: CommandContext,
  path: string,
  bar: ProgressBar,
): Promise<BackupSummary> {
  await requireRegularFile(path);
  const file = await new NodeDisk(dirname(path)).open(basename(path), "read");
  try {
    const reader = new BackupReader(file, createHasher().hasher);
    const head = await reader.head();
    let rowCount = 0;
    for await (const rows of reader.parts(head)) {
      context.signal.throwIfAborted();
      rowCount += rows.length;
      bar.update(reader.readBytes);
    }
    return { head, rowCount, sizeBytes: reader.readBytes };
  } finally {
    await file.close();
  }
}

/** A backup is read at positions, which a FIFO does not have. @throws {AshlarError} */
async function requireRegularFile(path: string): Promise<void> {
  let isRegular: boolean;
  try {
    await using file = await openReadable(path);
    isRegular = file.stats.isFile();
  } catch (cause) {
    const reason = errnoWords((cause as NodeJS.ErrnoException).code ?? "");
    throw new AshlarError("INVALID_ARGUMENT", `Cannot read ${path}: ${reason}`, { cause });
  }
  if (!isRegular) {
    throw new AshlarError("INVALID_ARGUMENT", `Cannot read ${path}: not a regular file`);
  }
}

async function print(
  { output }: CommandContext,
  path: string,
  { summary, isVerify }: { readonly summary: BackupSummary; readonly isVerify: boolean },
): Promise<void> {
  const { head, rowCount, sizeBytes } = summary;
  const stateHash = toHex(head.stateHash);
  if (output.options.json) {
    await output.json("ashlar.backup/1", {
      path,
      cluster_id: head.clusterId,
      index: head.index,
      term: head.term,
      created_ms: head.createdMs,
      feature_level: head.featureLevel,
      state_hash: stateHash,
      row_count: rowCount,
      size_bytes: sizeBytes,
    });
    return;
  }
  const result = isVerify ? "is complete" : "written";
  await output.line(
    `${path} ${result}: cluster ${head.clusterId} at index ${head.index}, ${formatCount(rowCount, "row")}, ${formatSize(sizeBytes, true)}, state hash ${stateHash}`,
  );
}
