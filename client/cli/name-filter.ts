import picomatch from "picomatch";
import { textOfBytes } from "./argument-text.ts";
import type { OptionValues } from "./command.ts";

/** Returns whether --include and --exclude select a relative path. */
export type NameFilter = (relative: Uint8Array) => boolean;

/**
 * Returns the filter of --include and --exclude. A pattern without "/" is matched to the last name.
 */
export function nameFilter(options: OptionValues): NameFilter {
  const include = matcher(options["include"] as string | undefined);
  const exclude = matcher(options["exclude"] as string | undefined);
  return (relative) => {
    const text = textOfBytes(relative);
    return (include === null || include(text)) && (exclude === null || !exclude(text));
  };
}

function matcher(pattern: string | undefined): ((text: string) => boolean) | null {
  if (pattern === undefined) return null;
  return picomatch(pattern, { dot: true, flags: "s", basename: !pattern.includes("/") });
}
