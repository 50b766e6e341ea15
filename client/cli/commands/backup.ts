import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { toHex } from "../../../shared/base/bytes.ts";
import { AshlarError, isAshlarError } from "../../../shared/base/errors.ts";
import { formatCount, formatSize, jsonName } from "../../../shared/display/format.ts";
import { errnoWords } from "../../../shared/platform/errno-words.ts";
import { createHasher } from "../../../shared/platform/hasher.ts";
import { NodeDiskFile } from "../../../shared/platform/node-disk-file.ts";
import type { DiskFile } from "../../../shared/ports/disk.ts";
import type { BackupHead } from "../../../shared/protocol/backup-api.ts";
import { BackupReader, BackupWriter } from "../../../shared/protocol/backup-file.ts";
import type { BackupPart } from "../../results.ts";
import type { CommandContext, RunCommand } from "../command.ts";
import { directoryOf, examineTarget } from "../local/local-target.ts";
import { removeLeftovers } from "../local/temporary-files.ts";
import { requireWritable, writeAndPublish, writeError } from "../local/write-local.ts";
import { LocalPath } from "../local-path.ts";
import { ProgressBar } from "../progress.ts";
import { withHint } from "../with-hint.ts";

const { O_DIRECTORY, O_NONBLOCK, O_RDONLY, O_RDWR } = constants;
/** A backup contains the key of the chunk receipts, so only its owner may read it. */
const NEW_FILE_MODE = 0o600;
const FORCE_HINT = "Choose another name, or pass --force to replace the file";

/** Facts about a backup that was written or verified. */
interface BackupSummary {
  readonly head: BackupHead;
  readonly rowCount: number;
  readonly sizeBytes: number;
}

export const run: RunCommand = async (context, [file], options) => {
  if (file === undefined)
    throw new AshlarError("INVALID_ARGUMENT", "Cannot back up: expected the path of a file");
  const path = LocalPath.parse(context.env, file);
  const isVerify = options["verify"] === true;
  if (isVerify && options["force"] === true) {
    throw new AshlarError(
      "INVALID_ARGUMENT",
      "Cannot use --force with --verify: expected one of them: --verify writes no file",
    );
  }
  const bar = new ProgressBar(context, {
    title: isVerify ? "verify" : "backup",
    totalBytes: null,
  });
  try {
    const summary = isVerify
      ? await verifyFile(context, path, bar)
      : await write(context, path, { bar, isForced: options["force"] === true });
    bar.end();
    await print(context, path, { summary, isVerify });
  } finally {
    bar.end();
  }
};

/**
 * Writes the backup under a temporary name, verifies it and publishes it: a file with the final name
 * is a complete backup. The name is durable when the promise resolves.
 */
async function write(
  context: CommandContext,
  path: LocalPath,
  { bar, isForced }: { readonly bar: ProgressBar; readonly isForced: boolean },
): Promise<BackupSummary> {
  try {
    const target = await examineTarget(path);
    requireWritable(path, target, isForced);
    if (target.kind === "special") throw notRegular("write", path);
    const directory = directoryOf(target.path);
    await removeLeftovers(directory);
    const attributes = { mode: NEW_FILE_MODE, owner: null, mtimeMs: null };
    const options = { replace: isForced, attributes, preserve: false };
    const { result } = await writeAndPublish(target, options, async (descriptor) => {
      const file = new NodeDiskFile(descriptor, path.text, O_RDWR); // The caller closes it.
      await receive(context, file, bar);
      await file.sync();
      return await verify(context, file, bar);
    });
    await syncDirectory(directory);
    return result;
  } catch (error) {
    const shown = writeError(error, path);
    throw isAshlarError(shown, "ALREADY_EXISTS") ? withHint(shown, FORCE_HINT) : shown;
  }
}

async function syncDirectory(path: LocalPath): Promise<void> {
  await using directory = await open(path.systemPath, O_RDONLY | O_DIRECTORY);
  await directory.sync();
}

async function receive(context: CommandContext, file: DiskFile, bar: ProgressBar): Promise<void> {
  const fileSystem = await context.fileSystem();
  const writer = new BackupWriter(file, createHasher().hasher);
  for await (const part of fileSystem.backup({ signal: context.signal })) {
    await writePart(writer, part);
    bar.update(writer.writtenBytes);
  }
  await writer.end();
}

function writePart(writer: BackupWriter, part: BackupPart): Promise<void> {
  if (part.kind === "head") return writer.begin(part.head);
  return writer.part(part.bytes, part.rowCount);
}

async function verifyFile(
  context: CommandContext,
  path: LocalPath,
  bar: ProgressBar,
): Promise<BackupSummary> {
  await using file = await openBackup(path);
  return await verify(context, new NodeDiskFile(file.fd, path.text, O_RDONLY), bar);
}

async function verify(
  context: CommandContext,
  file: DiskFile,
  bar: ProgressBar,
): Promise<BackupSummary> {
  const reader = new BackupReader(file, createHasher().hasher);
  const head = await reader.head();
  let rowCount = 0;
  for await (const rows of reader.parts(head)) {
    context.signal.throwIfAborted();
    rowCount += rows.length;
    bar.update(reader.readBytes);
  }
  return { head, rowCount, sizeBytes: reader.readBytes };
}

/** A backup is read at positions, which a FIFO does not have. @throws {AshlarError} */
async function openBackup(path: LocalPath): Promise<FileHandle> {
  let file: FileHandle;
  try {
    file = await open(path.systemPath, O_RDONLY | O_NONBLOCK);
  } catch (cause) {
    throw unreadable(path, (cause as NodeJS.ErrnoException).code ?? "", cause);
  }
  const stats = await file.stat();
  if (stats.isFile()) return file;
  await file.close();
  throw stats.isDirectory() ? unreadable(path, "EISDIR") : notRegular("read", path);
}

function unreadable(path: LocalPath, errno: string, cause?: unknown): AshlarError {
  const message = `Cannot read ${path.text}: ${errnoWords(errno)}`;
  return new AshlarError("INVALID_ARGUMENT", message, { cause });
}

function notRegular(action: "read" | "write", path: LocalPath): AshlarError {
  return new AshlarError("INVALID_ARGUMENT", `Cannot ${action} ${path.text}: not a regular file`);
}

async function print(
  { output }: CommandContext,
  path: LocalPath,
  { summary, isVerify }: { readonly summary: BackupSummary; readonly isVerify: boolean },
): Promise<void> {
  const { head, rowCount, sizeBytes } = summary;
  const stateHash = toHex(head.stateHash);
  if (output.options.json) {
    await output.json("ashlar.backup/1", {
      ...jsonName("path", path.bytes),
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
    `${path.text} ${result}: cluster ${head.clusterId} at index ${head.index}, ${formatCount(rowCount, "row")}, ${formatSize(sizeBytes, true)}, state hash ${stateHash}`,
  );
}
