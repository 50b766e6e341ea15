import { textOfBytes } from "./argument-text.ts";
import type { OptionValues } from "./command.ts";
import { invalidValue } from "./parse-values.ts";
import { matchesPath } from "./patterns/match.ts";
import { parsePattern } from "./patterns/pattern.ts";

/** Returns whether --include and --exclude select the file at a relative path. */
export type NameFilter = (relative: Uint8Array) => boolean;

/**
 * Returns the filter of --include and --exclude. A pattern without "/" is matched to the last name,
 * any other to the relative path.
 *
 * @throws {AshlarError} INVALID_ARGUMENT if a pattern cannot be used
 */
export function nameFilter(options: OptionValues): NameFilter {
  const include = matcher(options["include"] as string | undefined, "--include");
  const exclude = matcher(options["exclude"] as string | undefined, "--exclude");
  return (relative) => {
    if (include === null && exclude === null) return true;
    const names = textOfBytes(relative).split("/");
    return (include === null || include(names)) && (exclude === null || !exclude(names));
  };
}

type NamesMatcher = (names: readonly string[]) => boolean;

function matcher(pattern: string | undefined, flag: string): NamesMatcher | null {
  if (pattern === undefined) return null;
  if (pattern === "" || pattern.endsWith("/")) {
    throw invalidValue(flag, "a pattern of files such as '*.log' or 'build/**'", pattern);
  }
  const patterns = parsePattern(pattern);
  if (pattern.includes("/")) return (names) => matchesPath(patterns, names, "file");
  return (names) => matchesPath(patterns, names.slice(-1), "file");
}
