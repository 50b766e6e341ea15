import * as v from "valibot";
import { AshlarError } from "../base/errors.ts";
import { parseDurationMs, parseSizeBytes } from "../display/quantities.ts";
import { nearestName } from "./nearest-name.ts";

/** A flat schema that refuses unknown keys; its defaults are the lowest layer. */
// biome-ignore lint/suspicious/noExplicitAny: valibot's own bound for "any entries, any issue".
export type ConfigSchema = v.StrictObjectSchema<v.ObjectEntries, any>;

/** The source of a value. A later kind overrides an earlier one. */
export type ConfigOrigin =
  | { readonly kind: "default" }
  | { readonly kind: "file"; readonly path: string; readonly line: number }
  | { readonly kind: "environment"; readonly name: string }
  | { readonly kind: "flag"; readonly name: string };

/** A parsed config file. */
export interface ConfigFile {
  readonly path: string;
  /** The parsed TOML. */
  readonly values: Readonly<Record<string, unknown>>;
  /** The text of the file, to find the line of a key. */
  readonly text: string;
}

/** The sources of a config. */
export interface ConfigLayers<Schema extends ConfigSchema> {
  readonly schema: Schema;
  readonly file: ConfigFile | null;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Values by key; undefined for a flag that is absent. Text is parsed as in the environment. */
  readonly flags: Readonly<Record<string, unknown>>;
}

/** A checked config with the source of every value. */
export interface LoadedConfig<Values> {
  readonly values: Values;
  readonly origins: Readonly<Record<string, ConfigOrigin>>;
}

interface Layered {
  readonly value: unknown;
  readonly origin: ConfigOrigin;
}

/**
 * Merges defaults, the file, the environment (`dataDir` is ASHLAR_DATA_DIR) and flags. Later
 * sources override earlier ones.
 *
 * Text is converted to the type that the schema expects: a number may be "10s" for a key with "Ms",
 * and "64MiB" for a key with "Bytes"; a list is separated by commas; "none" is null.
 *
 * @throws {AshlarError} INVALID_ARGUMENT with the source, the key, the expected and the actual
 *   value
 */
export function mergeConfig<Schema extends ConfigSchema>(
  layers: ConfigLayers<Schema>,
): LoadedConfig<v.InferOutput<Schema>> {
  const { schema, file, environment, flags } = layers;
  const keys = Object.keys(schema.entries);
  const found = new Map<string, Layered>();
  for (const [key, value] of Object.entries(file?.values ?? {})) {
    const origin = originInFile(file as ConfigFile, key);
    checkKnown(key, keys, origin);
    found.set(key, { value, origin });
  }
  for (const key of keys) {
    const name = environmentNameOf(key);
    const value = environment[name];
    if (value !== undefined) found.set(key, { value, origin: { kind: "environment", name } });
  }
  for (const [key, value] of Object.entries(flags)) {
    const origin: ConfigOrigin = { kind: "flag", name: flagNameOf(key) };
    checkKnown(key, keys, origin);
    if (value !== undefined) found.set(key, { value, origin });
  }
  return { values: parseFound(schema, found), origins: originsOf(keys, found) };
}

/** Returns the environment variable of a key: ASHLAR_DATA_DIR for `dataDir`. */
export function environmentNameOf(key: string): string {
  return `ASHLAR_${key.replaceAll(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}`;
}

/** Returns the flag of a key: --data-dir for `dataDir`. */
export function flagNameOf(key: string): string {
  return `--${key.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

/**
 * Returns the source as text: "default", "flag --data-dir", "environment ASHLAR_DATA_DIR",
 * "/etc/ashlar/master.toml:3".
 */
export function displayOrigin(origin: ConfigOrigin): string {
  switch (origin.kind) {
    case "default":
      return "default";
    case "file":
      return `${origin.path}:${origin.line}`;
    case "environment":
      return `environment ${origin.name}`;
    case "flag":
      return `flag ${origin.name}`;
  }
}

function originInFile(file: ConfigFile, key: string): ConfigOrigin {
  const isKey = (line: string): boolean => {
    const name = /^\s*(?:\[+\s*)?["']?([A-Za-z0-9_-]+)["']?\s*[=.\]]/.exec(line)?.[1];
    return name === key;
  };
  return { kind: "file", path: file.path, line: file.text.split("\n").findIndex(isKey) + 1 };
}

function checkKnown(key: string, keys: readonly string[], origin: ConfigOrigin): void {
  if (keys.includes(key)) return;
  const nearest = nearestName(key, keys);
  const hint = nearest === null ? {} : { hint: `Did you mean ${nearest}?` };
  throw new AshlarError(
    "INVALID_ARGUMENT",
    `Cannot use the key ${key} (${displayOrigin(origin)}): no such key`,
    hint,
  );
}

function originsOf(
  keys: readonly string[],
  found: ReadonlyMap<string, Layered>,
): Readonly<Record<string, ConfigOrigin>> {
  const origins: Record<string, ConfigOrigin> = {};
  for (const key of keys) origins[key] = found.get(key)?.origin ?? { kind: "default" };
  return origins;
}

function parseFound<Schema extends ConfigSchema>(
  schema: Schema,
  found: ReadonlyMap<string, Layered>,
): v.InferOutput<Schema> {
  const input: Record<string, unknown> = {};
  for (const [key, { value, origin }] of found) {
    const entry = schema.entries[key];
    const name = nameWithOrigin(key, origin);
    input[key] =
      typeof value === "string" && entry ? valueOfText(value, { key, name, entry }) : value;
  }
  const result = v.safeParse(schema, input, { abortEarly: true });
  if (result.success) return result.output;
  const issue = result.issues[0];
  const key = String(issue.path?.[0]?.key ?? "");
  const origin = found.get(key)?.origin;
  if (origin === undefined) throw missing(key);
  const problem = `${issue.message}: current value is ${JSON.stringify(issue.input)}`;
  throw new AshlarError(
    "INVALID_ARGUMENT",
    `Cannot use ${nameWithOrigin(key, origin)}: ${problem}`,
  );
}

/** Returns "dataDir (flag --data-dir)". */
function nameWithOrigin(key: string, origin: ConfigOrigin): string {
  return `${key} (${displayOrigin(origin)})`;
}

function missing(key: string): AshlarError {
  return new AshlarError(
    "INVALID_ARGUMENT",
    `Cannot start without ${key}: expected a value because it has no default`,
    {
      hint: `Set ${flagNameOf(key)}, ${environmentNameOf(key)}, or ${key} in the config file`,
    },
  );
}

type Entry = v.ObjectEntries[string];

/** Returns the schema inside `optional`, `nullable` and `pipe`, and whether it allows null. */
function coreOf(entry: Entry): {
  readonly type: string;
  readonly nullable: boolean;
  readonly item?: Entry;
} {
  let schema: unknown = entry;
  let nullable = false;
  for (;;) {
    const { type, wrapped, pipe, item } = schema as {
      readonly type: string;
      readonly wrapped?: unknown;
      readonly pipe?: readonly unknown[];
      readonly item?: Entry;
    };
    nullable ||= type === "nullable" || type === "nullish";
    const inner = wrapped ?? (pipe?.[0] === schema ? undefined : pipe?.[0]);
    if (inner === undefined) return { type, nullable, ...(item === undefined ? {} : { item }) };
    schema = inner;
  }
}

/** A config key whose value is given as text. */
interface KeyOfText {
  readonly key: string;
  /** The key and the origin of its value, for errors. */
  readonly name: string;
  readonly entry: Entry;
}

function valueOfText(text: string, keyOfText: KeyOfText): unknown {
  const { type, nullable, item } = coreOf(keyOfText.entry);
  if (nullable && text === "none") return null;
  switch (type) {
    case "number":
      return numberOfText(text, keyOfText);
    case "boolean":
      return text === "true" || (text === "false" ? false : text);
    case "array":
      return text === "" || item === undefined
        ? []
        : text.split(",").map((part) => valueOfText(part.trim(), { ...keyOfText, entry: item }));
    default:
      return text;
  }
}

/** Returns a number in the unit of the key, or the unchanged text, which the schema rejects. */
function numberOfText(text: string, { key, name }: KeyOfText): unknown {
  const number = Number(text);
  if (text.trim() !== "" && Number.isFinite(number)) return number;
  if (/Ms(?=[A-Z]|$)/.test(key)) return parseDurationMs(text, { name, bareUnit: "ms" });
  if (/Bytes(?=[A-Z]|$)/.test(key)) return parseSizeBytes(text, name);
  return text;
}
