import { amount, type CommonOptions, commonOf, parseWords } from "../parse-options.ts";

/** Parsed command line of `soak:data`. */
export interface DataSoakOptions extends CommonOptions {
  readonly minutes: number;
  readonly writers: number;
  readonly readers: number;
  /** Longest time of a transfer without progress, in milliseconds. */
  readonly stallMsMax: number;
}

/** Text of --help. */
export const USAGE = `Usage: npm run soak:data -- [--minutes N] [--writers N] [--readers N] [--stall-ms N]
                            [--keep] [--json]

Writes and reads files of a cluster of 3 masters and 4 chunkservers with many callers at once: some abort,
some pause, one disk is slow, one chunkserver is killed and started again. Every byte is checked. Each
process has its own disk and network namespace. Needs root and Linux.

  --minutes N   duration (1)
  --writers N   callers that write (64)
  --readers N   callers that read (64)
  --stall-ms N  longest time of a transfer without progress while no server is down (5000)
  --keep        keep logs, journal and disk images even if the run succeeds
  --json        print one JSON object instead of text

Exit status 1 for wrong bytes, for a transfer without progress, for an error that a caller sees, for memory above
its bound, and for descriptors that remain. The directory is then kept.
`;

/** Parses the command line. @throws {AshlarError} INVALID_ARGUMENT */
export function parseDataOptions(commandLine: readonly string[]): DataSoakOptions | "help" {
  const values = parseWords(commandLine, {
    minutes: { type: "string" },
    writers: { type: "string" },
    readers: { type: "string" },
    "stall-ms": { type: "string" },
  });
  if (values.help === true) return "help";
  return {
    minutes: amount("minutes", values.minutes ?? "1"),
    writers: Math.floor(amount("writers", values.writers ?? "64")),
    readers: Math.floor(amount("readers", values.readers ?? "64")),
    stallMsMax: amount("stall-ms", values["stall-ms"] ?? "5000"),
    ...commonOf(values),
  };
}
