import { readFile } from "node:fs/promises";
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

export interface LoadConfigOptions<Schema extends ConfigSchema>
  extends Omit<ConfigLayers<Schema>, "file"> {
  /** A TOML file that must be there, or null for none. */
  readonly file: string | null;
}

/**
 * Reads the file and merges the layers: see `mergeConfig`.
 *
 * @throws {AshlarError} INVALID_ARGUMENT, naming the file and the line where there is one.
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
    text = await readFile(path, "utf8");
  } catch (cause) {
    const message = `Cannot read the config file ${path}: ${errnoOf(cause)}`;
    throw new AshlarError("INVALID_ARGUMENT", message, { cause });
  }
  return parseConfigFile(path, text);
}

/** @throws {AshlarError} INVALID_ARGUMENT with `path:line:column` if the text is not TOML. */
export function parseConfigFile(path: string, text: string): ConfigFile {
  try {
    return { path, text, values: parse(text) };
  } catch (cause) {
    const place = cause instanceof TomlError ? `${path}:${cause.line}:${cause.column}` : path;
    const problem = String((cause as Error).message).split("\n", 1)[0];
    throw new AshlarError("INVALID_ARGUMENT", `Cannot read ${place}: ${problem}`, { cause });
  }
}
