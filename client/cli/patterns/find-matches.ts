import { isAshlarError } from "../../../shared/base/errors.ts";
import type { FileSystem } from "../../file-system.ts";
import type { Attributes, ReadOptions } from "../../index.ts";
import { bytesOfText, textOfBytes } from "../argument-text.ts";
import { statOrNull } from "../exists.ts";
import { childPath } from "../remote-paths.ts";
import { PatternState } from "./match.ts";
import type { PathPattern } from "./pattern.ts";

/** What `findMatches` reads from. */
interface Search {
  readonly fileSystem: FileSystem;
  readonly readOptions: ReadOptions;
}

/** An entry that can be a match or contain matches. */
interface Candidate {
  readonly path: Uint8Array;
  readonly state: PatternState;
  /** Null if the entry has not been read. */
  readonly kind: Attributes["kind"] | null;
}

/**
 * Yields the paths below `base` that match the patterns, each once, a directory before its entries,
 * names in byte order. It lists only directories that can contain a match, and one entry is read
 * ahead of the caller at most: a caller may remove what it receives.
 */
export async function* findMatches(
  search: Search,
  base: Uint8Array,
  patterns: readonly PathPattern[],
): AsyncGenerator<Uint8Array> {
  const start = PatternState.start(patterns);
  // One listing for each level, so memory is bounded by the depth.
  const levels = [candidatesIn(search, base, start)];
  for (let level = levels.at(-1); level !== undefined; level = levels.at(-1)) {
    const { done, value } = await level.next();
    if (done === true) {
      levels.pop();
      continue;
    }
    if (value.kind !== null && value.state.isMatch(value.kind)) yield value.path;
    if (value.kind !== "file" && value.state.canContinue) {
      levels.push(candidatesIn(search, value.path, value.state));
    }
  }
}

async function* candidatesIn(
  search: Search,
  directory: Uint8Array,
  state: PatternState,
): AsyncGenerator<Candidate> {
  try {
    if (state.plainNames === null) yield* listed(search, directory, state);
    else yield* named(search, directory, { state, names: state.plainNames });
  } catch (error) {
    // There is no such directory, or it was removed after its parent was listed.
    if (isAshlarError(error, "NOT_FOUND") || isAshlarError(error, "NOT_A_DIRECTORY")) return;
    throw error;
  }
}

/** Yields the entries of a directory that can be or contain a match. */
async function* listed(
  { fileSystem, readOptions }: Search,
  directory: Uint8Array,
  state: PatternState,
): AsyncGenerator<Candidate> {
  for await (const { name, attributes } of fileSystem.list(directory, readOptions)) {
    const next = state.next(textOfBytes(name));
    const { kind } = attributes;
    if (!next.isMatch(kind) && !next.canContinue) continue;
    yield { path: childPath(directory, name), state: next, kind };
  }
}

/** Yields the entries with these names. An entry that can only contain matches is not read. */
async function* named(
  { fileSystem, readOptions }: Search,
  directory: Uint8Array,
  { state, names }: { readonly state: PatternState; readonly names: readonly string[] },
): AsyncGenerator<Candidate> {
  const inOrder = names.map((text) => ({ text, bytes: bytesOfText(text) }));
  inOrder.sort((left, right) => Buffer.compare(left.bytes, right.bytes));
  for (const { text, bytes } of inOrder) {
    const path = childPath(directory, bytes);
    const next = state.next(text);
    if (!next.isMatch("directory")) {
      yield { path, state: next, kind: null };
      continue;
    }
    const found = await statOrNull(fileSystem, path, readOptions);
    if (found !== null) yield { path, state: next, kind: found.kind };
  }
}
