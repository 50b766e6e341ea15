import type { Branded } from "../../shared/base/brand.ts";
import { joinPath, type PathNames } from "../../shared/base/path.ts";
import { type ByteText, bytesToText } from "./keys.ts";

/**
 * A watched path: its names from the root down, each with a "/" after it. Empty for the root. One text
 * takes as many bytes as the path; a list of its names takes many times as many.
 *
 * A path is at or below another one if its text starts with the text of the other one.
 */
export type WatchedPath = Branded<ByteText, "WatchedPath">;

/** Returns the path with these names. */
export function watchedPath(names: PathNames): WatchedPath {
  if (names.length === 0) return "" as WatchedPath;
  return `${bytesToText(joinPath(names).subarray(1))}/` as WatchedPath;
}

/** As `watchedPath`, for names of the state. */
export function watchedPathOf(names: readonly ByteText[]): WatchedPath {
  return (names.length === 0 ? "" : `${names.join("/")}/`) as WatchedPath;
}

/**
 * Returns whether an event with these names concerns a watch: its path is at or below the watched path, or
 * above it if the event affects the whole subtree.
 */
export function concernsWatch(
  within: WatchedPath,
  names: readonly ByteText[],
  affectsSubtree: boolean,
): boolean {
  let end = 0;
  for (const name of names) {
    if (end === within.length) return true;
    if (!within.startsWith(name, end) || within[end + name.length] !== "/") return false;
    end += name.length + 1;
  }
  return affectsSubtree || end === within.length;
}
