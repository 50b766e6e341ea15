import { toHex } from "../../../shared/base/bytes.ts";
import {
  formatCount,
  formatListTime,
  formatTime,
  jsonName,
} from "../../../shared/display/format.ts";
import type { WatchCursor } from "../../options.ts";
import type { Watch, WatchEvent } from "../../results.ts";
import type { CommandContext, RunCommand } from "../command.ts";
import { Stopped } from "../exit-status.ts";
import { parseExactPath, remotePath } from "../remote-paths.ts";

const SCHEMA = "ashlar.watch/1";

/** Runs until it is stopped. A stop is the normal end and is not reported as an error. */
export const run: RunCommand = async (context, commandArguments, options) => {
  const { output, signal, timeoutMs } = context;
  const path = parseExactPath(commandArguments[0] ?? "/");
  const fileSystem = await context.fileSystem();
  // A call to the leader: without a majority, the command ends now and not after the timeout.
  await fileSystem.exists("/", { signal });
  const from = options["from"] as WatchCursor | undefined;
  const progress = new WatchProgress(context, path.text, options["heartbeats"] === true);
  const watch = fileSystem.watch(path.bytes, {
    signal,
    timeoutMs,
    ...(from === undefined ? {} : { from }),
    onProgress: (next) => progress.report(next),
  });
  try {
    await printAll(context, watch, progress);
  } catch (error) {
    if (!signal.aborted) throw error;
    const cursor = progress.unwritten ?? watch.cursor;
    if (cursor !== null) output.note(`To continue from here: --from ${cursorText(cursor)}`);
    throw new Stopped("The watch was stopped", { cause: error });
  }
};

async function printAll(
  context: CommandContext,
  watch: Watch,
  progress: WatchProgress,
): Promise<void> {
  for await (const event of watch) {
    progress.unwritten = event;
    await progress.written();
    if (context.output.options.json) await context.output.json(SCHEMA, jsonEvent(event));
    else await context.output.line(lineOf(event));
    progress.unwritten = null;
  }
}

/** Prints a note when the watch begins, and with --heartbeats the position of the feed. */
class WatchProgress {
  readonly #context: CommandContext;
  readonly #path: string;
  readonly #hasHeartbeats: boolean;
  /** The event that is being written: if the reader closes stdout, it may not have received it. */
  unwritten: WatchCursor | null = null;
  #hasBegun = false;
  #writing: Promise<void> = Promise.resolve();

  constructor(context: CommandContext, path: string, hasHeartbeats: boolean) {
    this.#context = context;
    this.#path = path;
    this.#hasHeartbeats = hasHeartbeats;
  }

  /** Call it with the position up to which the feed has been read. */
  report(next: WatchCursor): void {
    const { output } = this.#context;
    if (!this.#hasBegun) output.note(`Watching ${this.#path}; press Ctrl-C to stop`);
    this.#hasBegun = true;
    if (!this.#hasHeartbeats) return;
    const text = cursorText(next);
    this.#writing = output.options.json
      ? output.json(SCHEMA, { kind: "progress", next: text })
      : output.line(`${text}  progress`);
    this.#writing.catch(() => {}); // The next write fails with the same error and reports it.
  }

  /** Resolves when the last heartbeat line is written. */
  written(): Promise<void> {
    return this.#writing;
  }
}

/** Returns the text that `--from` accepts. */
function cursorText({ index, sequence }: WatchCursor): string {
  return `${index}:${sequence}`;
}

/** Returns a line such as "1234  2026-11-21 09:14  renamed  file  /a -> /b". */
function lineOf(event: WatchEvent): string {
  const { index, timeMs, kind, inodeKind } = event;
  const from = event.kind === "renamed" ? `${shownPath(event.from.pathBytes)} -> ` : "";
  const text = `${from}${shownPath(event.pathBytes)}${detailOf(event)}`;
  return [index, formatListTime(timeMs), kind.padEnd(13), inodeKind.padEnd(9), text].join("  ");
}

const shownPath = (path: Uint8Array | null): string =>
  path === null ? "(no path that can be shown)" : remotePath(path).text;

function detailOf(event: WatchEvent): string {
  switch (event.kind) {
    case "created":
      return event.inodeKind === "file" ? `  (${formatCount(event.sizeBytes, "byte")})` : "";
    case "content":
      return `  (${formatCount(event.sizeBytes, "byte")})`;
    case "attributes":
      return `  (${octal(event.mode)} ${event.uid}:${event.gid})`;
    case "storage-class":
      return `  (${event.storageClass})`;
    case "removed":
      return event.isTree ? "  (and everything below)" : "";
    default:
      return "";
  }
}

const octal = (mode: number): string => mode.toString(8).padStart(4, "0");

function jsonEvent(event: WatchEvent): Record<string, unknown> {
  const { kind, index, sequence, next, timeMs, inode, inodeKind, parent, name } = event;
  return {
    kind,
    index,
    sequence,
    next: cursorText(next),
    time: formatTime(timeMs),
    inode,
    inode_kind: inodeKind,
    parent,
    ...jsonName("name", name),
    ...jsonPath("path", event.pathBytes),
    ...jsonDetails(event),
  };
}

function jsonPath(key: string, path: Uint8Array | null): Record<string, unknown> {
  return path === null ? { [key]: null } : jsonName(key, path);
}

function jsonDetails(event: WatchEvent): Record<string, unknown> {
  switch (event.kind) {
    case "created":
      return {
        ...jsonOwner(event),
        mtime: formatTime(event.mtimeMs),
        storage_class: event.storageClass,
        ...(event.contentRoot === null ? {} : jsonContent(event.sizeBytes, event.contentRoot)),
      };
    case "content":
      return {
        mtime: formatTime(event.mtimeMs),
        ...jsonContent(event.sizeBytes, event.contentRoot),
      };
    case "removed":
      return { is_tree: event.isTree };
    case "renamed":
      return {
        from_parent: event.from.parent,
        ...jsonName("from_name", event.from.name),
        ...jsonPath("from_path", event.from.pathBytes),
      };
    case "attributes":
      return { ...jsonOwner(event), mtime: formatTime(event.mtimeMs) };
    default:
      return { storage_class: event.storageClass };
  }
}

const jsonOwner = ({ mode, uid, gid }: { mode: number; uid: number; gid: number }): object => ({
  mode: octal(mode),
  uid,
  gid,
});

const jsonContent = (sizeBytes: number, root: Uint8Array): object => ({
  size_bytes: sizeBytes,
  content_root: toHex(root),
});
