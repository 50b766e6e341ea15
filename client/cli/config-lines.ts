import { isDeepStrictEqual } from "node:util";
import { AshlarError } from "../../shared/base/errors.ts";
import { parseUserConfig } from "../../shared/platform/user-config.ts";

/** A change of the text of the user's config file. */
export type ConfigEdit =
  /** Sets `cluster` to a name, and the cluster of the name unless `where` is undefined. */
  | { readonly kind: "select"; readonly name: string; readonly where?: string | undefined }
  /** Removes a name, and `cluster` if its value is the name. */
  | { readonly kind: "forget"; readonly name: string };

/** Content of a config file. */
type Config = Awaited<ReturnType<typeof parseUserConfig>>;

/**
 * Returns the text of a config file after an edit. Every other line stays as it is. The result is
 * parsed and compared: a file whose form the edit does not understand is refused, never damaged.
 *
 * @throws {AshlarError} INVALID_ARGUMENT
 */
export async function editedConfig(text: string, path: string, edit: ConfigEdit): Promise<string> {
  const before = await parseUserConfig(text, path);
  const edited = editedLines(text, before, edit).join("\n");
  const isExpected = await parseUserConfig(edited, path).then(
    (found) => isDeepStrictEqual(found, editedContent(before, edit)),
    () => false,
  );
  if (isExpected) return edited;
  const hint =
    edit.kind === "select"
      ? `Write cluster = "${edit.name}" into the file with an editor`
      : `Remove ${edit.name} from the file with an editor`;
  throw new AshlarError(
    "INVALID_ARGUMENT",
    `Cannot edit ${path}: expected one line for "cluster" and one line for each name below [clusters]`,
    { hint },
  );
}

function editedContent({ values, clusters }: Config, edit: ConfigEdit): Config {
  const { name } = edit;
  if (edit.kind === "select") {
    const named = edit.where === undefined ? {} : { [name]: edit.where };
    return { values: { ...values, cluster: name }, clusters: { ...clusters, ...named } };
  }
  const { [name]: _forgotten, ...others } = clusters;
  const { cluster, ...settings } = values;
  return { values: cluster === name ? settings : values, clusters: others };
}

function editedLines(text: string, { values }: Config, edit: ConfigEdit): string[] {
  const lines = text.split("\n");
  const tableStart = lines.findIndex((line) => /^\s*\[/.test(line));
  const top = lines.slice(0, tableStart < 0 ? lines.length : tableStart);
  const tables = tableStart < 0 ? [] : lines.slice(tableStart);
  const { name } = edit;
  if (edit.kind === "select") {
    const { where } = edit;
    return [
      ...withValue(top, "cluster", name),
      ...(where === undefined ? tables : withTableValue(tables, name, where)),
    ];
  }
  return [
    ...(values.cluster === name ? withoutValue(top, "cluster") : top),
    ...inClusterTable(tables, (table) => withoutValue(table, name)),
  ];
}

/** Returns the lines with the table `clusters`, which has the value. */
function withTableValue(lines: readonly string[], name: string, where: string): string[] {
  if (clusterTableOf(lines) !== null) {
    return inClusterTable(lines, (table) => withValue(table, name, where));
  }
  const isSeparated = lines.length === 0 || lines.at(-1) === "";
  return [...lines, ...(isSeparated ? [] : [""]), "[clusters]", lineOf(name, where), ""];
}

/** Changes the lines of the table `clusters` below its head, if there is one. */
function inClusterTable(
  lines: readonly string[],
  change: (table: readonly string[]) => string[],
): string[] {
  const found = clusterTableOf(lines);
  if (found === null) return [...lines];
  const { start, end } = found;
  return [...lines.slice(0, start), ...change(lines.slice(start, end)), ...lines.slice(end)];
}

function clusterTableOf(
  lines: readonly string[],
): { readonly start: number; readonly end: number } | null {
  const head = lines.findIndex((line) => /^\s*\[\s*clusters\s*\]\s*(#.*)?$/.test(line));
  if (head < 0) return null;
  const next = lines.findIndex((line, index) => index > head && /^\s*\[/.test(line));
  return { start: head + 1, end: next < 0 ? lines.length : next };
}

/** Matches a line with a key and a string: what precedes the value, two groups, what follows it. */
function patternOf(key: string): RegExp {
  return new RegExp(`^(\\s*(["']?)${key}\\2\\s*=\\s*)("(?:[^"\\\\]|\\\\.)*"|'[^']*')(.*)$`, "s");
}

/** Returns the lines with the value of a key: in its line, else after the last line with a key. */
function withValue(lines: readonly string[], key: string, value: string): string[] {
  const pattern = patternOf(key);
  const known = lines.findIndex((line) => pattern.test(line));
  if (known >= 0) {
    const [, start = "", , , rest = ""] = pattern.exec(lines[known] ?? "") ?? [];
    return lines.with(known, `${start}${JSON.stringify(value)}${rest}`);
  }
  const lastKey = lines.findLastIndex((line) => /^\s*[^#\s]/.test(line));
  return lines.toSpliced(lastKey + 1, 0, lineOf(key, value));
}

function withoutValue(lines: readonly string[], key: string): string[] {
  const pattern = patternOf(key);
  return lines.filter((line) => !pattern.test(line));
}

const lineOf = (key: string, value: string): string => `${key} = ${JSON.stringify(value)}`;
