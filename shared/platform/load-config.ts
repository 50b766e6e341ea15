import { parse, TomlError } from "smol-toml";
import type { InferOutput } from "valibot";
import { AshlarError } from "../base/errors.ts";
import {
  type ConfigFile,
  type ConfigLayers,
  type ConfigSchema,
  type LoadedConfig,
  mergeConfig,
} from "./config.ts";
import { errnoOf } from "./disk-error.ts";
import { readTextFile } from "./readable-file.ts";

const CONFIG_BYTES_MAX = 1024 * 1024;

/** Options of `loadConfig`. */
export interface LoadConfigOptions<Schema extends ConfigSchema>
  extends Omit<ConfigLayers<Schema>, "file"> {
  /** Path of a TOML file, which must exist, or null for none. */
  readonly file: string | null;
}

/**
 * Reads the config file and merges it with the other sources, see `mergeConfig`.
 *
 * @throws {AshlarError} INVALID_ARGUMENT with the file and, if known, the line
 */
export async function loadConfig<Schema extends ConfigSchema>(
  options: LoadConfigOptions<Schema>,
): Promise<LoadedConfig<InferOutput<Schema>>> {
  const file = options.file === null ? null : await readConfigFile(options.file);
  return mergeConfig({ ...options, file });
}

async function readConfigFile(path: string): Promise<ConfigFile> {
  let text: string;
  try {
    text = await readTextFile(path, { bytesMax: CONFIG_BYTES_MAX });
  } catch (cause) {
    const message = `Cannot read the config file ${path}: ${errnoOf(cause)}`;
    throw new AshlarError("INVALID_ARGUMENT", message, { cause });
  }
  return parseConfigFile(path, text);
}

/** Parses a config file. @throws {AshlarError} INVALID_ARGUMENT with `path:line:column` */
export function parseConfigFile(path: string, text: string): ConfigFile {
  try {
    return { path, text, values: parse(text) };
  } catch (cause) {
    const place = cause instanceof TomlError ? `${path}:${cause.line}:${cause.column}` : path;
    const problem = String((cause as Error).message).split("\n", 1)[0];
    throw new AshlarError("INVALID_ARGUMENT", `Cannot read ${place}: ${problem}`, { cause });
  }
}
