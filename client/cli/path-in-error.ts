import { AshlarError, isAshlarError } from "../../shared/base/errors.ts";

/** The files of one transfer, as they are printed. */
export interface NamedTransfer {
  /** "put", "get", "sync" */
  readonly verb: string;
  /** "-" for standard input. */
  readonly source: string;
  /** "-" for standard output. */
  readonly target: string;
}

/**
 * Runs the transfer of one file. An error that names neither the source nor the target gets both:
 * "Cannot place a chunk …" alone does not say which one of many files is missing.
 */
export async function withPathInError<Result>(
  transfer: NamedTransfer,
  run: () => Promise<Result>,
): Promise<Result> {
  try {
    return await run();
  } catch (error) {
    throw named(transfer, error);
  }
}

function named({ verb, source, target }: NamedTransfer, error: unknown): unknown {
  if (!isAshlarError(error) || error.code === "CANCELLED") return error;
  const { code, message, hint, details } = error;
  if ([source, target].some((path) => path !== "-" && isNamed(message, path))) return error;
  const text = `Cannot ${verb} ${source} to ${target}: ${message}`;
  return new AshlarError(code, text, {
    cause: error.cause,
    details: { source, target, ...details },
    ...(hint === undefined ? {} : { hint }),
  });
}

/**
 * Returns whether a message names a path: as "No such file or directory: PATH" and "Cannot write PATH: reason" do.
 * The name "a" also is a word and a part of other words.
 */
function isNamed(message: string, path: string): boolean {
  const isBefore = (character: string | undefined) =>
    character === undefined || ' "('.includes(character);
  const isAfter = (text: string) => text === "" || /^([:;,")]| \(|\.( |$))/.test(text);
  for (let start = message.indexOf(path); start !== -1; start = message.indexOf(path, start + 1)) {
    const after = message.slice(start + path.length);
    if (isBefore(message[start - 1]) && isAfter(after)) return true;
  }
  return false;
}
