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
  if ([source, target].some((path) => path !== "-" && message.includes(path))) return error;
  const text = `Cannot ${verb} ${source} to ${target}: ${message}`;
  return new AshlarError(code, text, {
    cause: error.cause,
    details: { source, target, ...details },
    ...(hint === undefined ? {} : { hint }),
  });
}
