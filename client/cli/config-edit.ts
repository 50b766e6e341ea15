import { randomBytes } from "node:crypto";
import { mkdir, open, realpath, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { AshlarError } from "../../shared/base/errors.ts";
import { readTextFile } from "../../shared/platform/readable-file.ts";
import { CONFIG_BYTES_MAX, parseUserConfig } from "../../shared/platform/user-config.ts";

/** A change of the user's config file. */
export interface ClusterSelection {
  readonly name: string;
  /** The cluster that gets the name; undefined if the name exists. */
  readonly where?: string | undefined;
}

/**
 * Sets `cluster` to a name in the user's config file, and the cluster of the name. Every other line
 * of the file stays as it is. The file is replaced atomically by one that only its owner can read.
 *
 * @throws {AshlarError} INVALID_ARGUMENT if the form of the file has no place for the change, or if
 *   it cannot be written; the file is then unchanged
 */
export async function selectCluster(path: string, selection: ClusterSelection): Promise<void> {
  try {
    const target = await targetOfLink(path);
    const before = await readText(target);
    const after = await withSelection(before, path, selection);
    if (after === before) return;
    await mkdir(dirname(target), { recursive: true, mode: 0o700 });
    await replaceFile(target, { before, after });
  } catch (cause) {
    if (cause instanceof AshlarError) throw cause;
    const problem = (cause as Error).message;
    throw new AshlarError("INVALID_ARGUMENT", `Cannot write ${path}: ${problem}`, { cause });
  }
}

/** Returns the file behind a symbolic link: the link is kept. */
async function targetOfLink(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return path;
    throw error;
  }
}

/** Returns the text of a file; empty if there is none. */
async function readText(path: string): Promise<string> {
  try {
    return await readTextFile(path, { bytesMax: CONFIG_BYTES_MAX, isWaitRefused: true });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return "";
    throw error;
  }
}

async function replaceFile(
  path: string,
  { before, after }: { readonly before: string; readonly after: string },
): Promise<void> {
  const temporary = join(dirname(path), `.ashlar-config-${randomBytes(6).toString("hex")}`);
  try {
    const file = await open(temporary, "wx", 0o600);
    try {
      await file.writeFile(after);
      await file.sync();
    } finally {
      await file.close();
    }
    if ((await readText(path)) !== before) {
      throw new AshlarError(
        "INVALID_ARGUMENT",
        `Cannot write ${path}: another process changed it at the same time`,
        { hint: "Run the command again" },
      );
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

/**
 * Returns the text of a config file with the selection. The result is parsed and compared: a file
 * whose form the edit does not understand is refused, never damaged.
 */
async function withSelection(
  text: string,
  path: string,
  { name, where }: ClusterSelection,
): Promise<string> {
  const lines = text.split("\n");
  const tableStart = lines.findIndex((line) => /^\s*\[/.test(line));
  const top = lines.slice(0, tableStart < 0 ? lines.length : tableStart);
  const tables = tableStart < 0 ? [] : lines.slice(tableStart);
  const edited = [
    ...withValue(top, "cluster", name),
    ...(where === undefined ? tables : withTableValue(tables, name, where)),
  ].join("\n");

  const { values, clusters } = await parseUserConfig(text, path);
  const expected = {
    values: { ...values, cluster: name },
    clusters: where === undefined ? clusters : { ...clusters, [name]: where },
  };
  const isExpected = await parseUserConfig(edited, path).then(
    (found) => isDeepStrictEqual(found, expected),
    () => false,
  );
  if (isExpected) return edited;
  throw new AshlarError(
    "INVALID_ARGUMENT",
    `Cannot edit ${path}: expected one line for "cluster" and one line for each name below [clusters]`,
    { hint: `Write cluster = "${name}" into the file with an editor` },
  );
}

/** Returns the lines with the table `clusters`, which has the value. */
function withTableValue(lines: readonly string[], name: string, where: string): string[] {
  const start = lines.findIndex((line) => /^\s*\[\s*clusters\s*\]\s*(#.*)?$/.test(line));
  if (start < 0) {
    const isSeparated = lines.length === 0 || lines.at(-1) === "";
    return [...lines, ...(isSeparated ? [] : [""]), "[clusters]", lineOf(name, where), ""];
  }
  const next = lines.findIndex((line, index) => index > start && /^\s*\[/.test(line));
  const end = next < 0 ? lines.length : next;
  const table = withValue(lines.slice(start + 1, end), name, where);
  return [...lines.slice(0, start + 1), ...table, ...lines.slice(end)];
}

/** Returns the lines with the value of a key: in its line, else after the last line with a key. */
function withValue(lines: readonly string[], key: string, value: string): string[] {
  const pattern = new RegExp(
    `^(\\s*(["']?)${key}\\2\\s*=\\s*)("(?:[^"\\\\]|\\\\.)*"|'[^']*')(.*)$`,
    "s",
  );
  const known = lines.findIndex((line) => pattern.test(line));
  if (known >= 0) {
    const [, start = "", , , rest = ""] = pattern.exec(lines[known] ?? "") ?? [];
    return lines.with(known, `${start}${JSON.stringify(value)}${rest}`);
  }
  const lastKey = lines.findLastIndex((line) => /^\s*[^#\s]/.test(line));
  return lines.toSpliced(lastKey + 1, 0, lineOf(key, value));
}

const lineOf = (key: string, value: string): string => `${key} = ${JSON.stringify(value)}`;
