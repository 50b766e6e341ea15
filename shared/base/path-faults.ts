import { AshlarError, type ErrorCode } from "./errors.ts";

/** Bytes of the longest name. NAME_MAX of Linux. */
export const NAME_BYTES_MAX = 255;
/** PATH_MAX of Linux is 4096 per system call. A tree may be deeper, so this bound is higher. */
export const PATH_BYTES_MAX = 64 * 1024;

/** The facts of a fault. */
export type FaultFacts = {
  /** Empty for a path that is too long. */
  readonly shown: string;
  /** Length of the path or the name. */
  readonly bytes: number;
};

/** The code and the words of each fault. `shown` is the path or the name on one line, cut to a bounded length. */
export const PATH_FAULTS = {
  "path-not-absolute": {
    code: "INVALID_ARGUMENT",
    words: ({ shown }) =>
      `Cannot use the path "${shown}": expected an absolute path, one that begins with "/"`,
  },
  "path-not-text": {
    code: "INVALID_ARGUMENT",
    words: ({ shown }) =>
      `Cannot use the path "${shown}": expected Unicode text: it has half of a surrogate pair`,
  },
  "path-too-long": {
    code: "NAME_TOO_LONG",
    words: ({ bytes }) => `Cannot use a path of ${bytes} bytes: expected at most ${PATH_BYTES_MAX}`,
  },
  "name-invalid": {
    code: "INVALID_ARGUMENT",
    words: ({ shown }) =>
      `Cannot use the path "${shown}": expected a name without "/" and NUL that is not "." or ".."`,
  },
  "name-too-long": {
    code: "NAME_TOO_LONG",
    words: ({ shown, bytes }) =>
      `Cannot use the name "${shown}…": expected at most ${NAME_BYTES_MAX} bytes: current length is ${bytes}`,
  },
} as const satisfies Readonly<
  Record<string, { readonly code: ErrorCode; readonly words: (fault: FaultFacts) => string }>
>;

/** Why bytes are not a path. */
export type PathFault = FaultFacts & { readonly fault: keyof typeof PATH_FAULTS };

/** Returns the error about `fault`. */
export function pathFaultError(fault: PathFault): AshlarError {
  const { code, words } = PATH_FAULTS[fault.fault];
  return new AshlarError(code, words(fault));
}
