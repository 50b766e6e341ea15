import picomatch from "picomatch";
import { textOfBytes } from "./argument-text.ts";
import type { OptionValues } from "./command.ts";

/** Whether --include and --exclude let a relative path through. A pattern without "/" is for the name alone. */
export type NameFilter = (relative: Uint8Array) => boolean;

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
