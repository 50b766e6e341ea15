import { parseArgs } from "node:util";
import { AshlarError } from "../base/errors.ts";
import { type ConfigSchema, flagNameOf } from "./config.ts";
import { nearestName } from "./nearest-name.ts";

/** Facts about a daemon for its command line and its help. */
export interface DaemonUsage<Schema extends ConfigSchema> {
  /** "master" for `ashlar master`. */
  readonly role: string;
  /** Name of the config file in the examples of --help; default: the role. */
  readonly configName?: string;
  readonly schema: Schema;
  /** A key whose value is given without a flag: `ashlar restore-cluster FILE`. */
  readonly operand?: string;
  /** Lines of --help between the usage and the examples. */
  readonly about?: readonly string[];
  /** More examples for --help. */
  readonly examples?: readonly (readonly [command: string, explanation: string])[];
  /** Help text of each key, one line each. */
  readonly describe: Readonly<Record<string, string>>;
  /** The page that describes the keys; default: docs/operations.md. */
  readonly page?: string;
}

/**
 * Parses the command line of a daemon. Every config key is a flag: `dataDir` is --data-dir.
 *
 * @returns values by config key. "config" and "help" have the values of --config and --help.
 * @throws {AshlarError} INVALID_ARGUMENT
 */
export function parseDaemonFlags(
  { role, operand }: Pick<DaemonUsage<ConfigSchema>, "role" | "operand">,
  keys: readonly string[],
  commandLine: readonly string[],
): Record<string, string | undefined> {
  const keyByName = new Map([...keys, "config"].map((key) => [flagNameOf(key).slice(2), key]));
  const names = [...keyByName.keys()];
  const options = Object.fromEntries(names.map((name) => [name, { type: "string" as const }]));
  try {
    const { values, positionals } = parseArgs({
      args: [...commandLine],
      options: { ...options, help: { type: "boolean" } },
      allowPositionals: operand !== undefined,
    });
    if (positionals.length > 1) throw new Error(`Unexpected argument '${positionals[1]}'`);
    const entries = Object.entries(values).map(([name, value]) => [
      keyByName.get(name) ?? name,
      String(value),
    ]);
    if (operand !== undefined && positionals[0] !== undefined) {
      entries.push([operand, positionals[0]]);
    }
    return Object.fromEntries(entries);
  } catch (cause) {
    const problem = problemOf(cause as Error);
    throw new AshlarError("INVALID_ARGUMENT", `Cannot read the command line: ${problem}`, {
      hint: hintFor(role, problem, names),
      cause,
    });
  }
}

/** Returns the first sentence of an error of parseArgs, such as "Unknown option '--port'". */
function problemOf({ message }: Error): string {
  return message.split("\n", 1)[0]?.split(". ", 1)[0] ?? message;
}

function hintFor(role: string, problem: string, names: readonly string[]): string {
  const help = `ashlar ${role} --help lists the flags`;
  const unknown = /^Unknown option '--([^']+)'/.exec(problem)?.[1];
  const nearest = unknown === undefined ? null : nearestName(unknown, names);
  return nearest === null ? help : `Did you mean --${nearest}? ${help}`;
}

/** Returns the text of `ashlar ROLE --help`. @param keys all config keys of the daemon */
export function daemonHelp(usage: DaemonUsage<ConfigSchema>, keys: readonly string[]): string {
  const { role, configName = role, examples = [], about = [], describe } = usage;
  const operand = usage.operand === undefined ? "" : ` ${usage.operand.toUpperCase()}`;
  const rows = keys.map((key) => `  ${flagNameOf(key).padEnd(34)} ${describe[key] ?? ""}`);
  return [
    `Usage: ashlar ${role}${operand} [--config FILE] [flags]`,
    "",
    ...(about.length === 0 ? [] : [...about, ""]),
    "Examples:",
    `  ashlar ${role}${operand} --config /etc/ashlar/${configName}.toml`,
    "      every flag is also a key of the file (camelCase) and ASHLAR_* in the environment",
    ...examples.flatMap(([command, explanation]) => [`  ${command}`, `      ${explanation}`]),
    "",
    "Flags:",
    `  ${"--config".padEnd(34)} a TOML file; the environment and flags take precedence over it`,
    ...rows,
    "",
    `${usage.page ?? "docs/operations.md"} describes each.`,
    "",
  ].join("\n");
}
