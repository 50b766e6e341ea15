import { AshlarError } from "../../shared/base/errors.ts";
import { amount, type CommonOptions, commonOf, parseWords } from "./parse-options.ts";

/** Kinds of faults, in the order of the turns. */
export const FAULT_KINDS = [
  "power-cut",
  "dead-disk",
  "kill",
  "pause",
  "partition",
  "slow-link",
  "clock-jump",
  "full-disk",
  "io-error",
] as const;
/** Name of a kind of fault. */
export type FaultKind = (typeof FAULT_KINDS)[number];

/** Parsed command line of the soak test. */
export interface SoakOptions extends CommonOptions {
  /** Minimum duration from the first fault on. */
  readonly minutes: number;
  readonly faults: readonly FaultKind[];
  /** Minimum number of power cuts, which may extend the run. 0 runs each variant once. */
  readonly powerCuts: number;
  /** Text that the names of the selected I/O errors contain. */
  readonly ioCases: string;
  /** Whether pauses last 4 s and not 30 s. */
  readonly quick: boolean;
}

/** Text of --help. */
export const USAGE = `Usage: npm run soak:meta -- [--minutes N] [--faults LIST] [--power-cuts N]
                            [--io-cases TEXT] [--quick] [--keep] [--json]

Runs a cluster of 3 masters and 4 chunkservers under load and injects real faults. Each process has
its own disk and network namespace. Needs root and Linux. Changes nothing outside of its namespaces
and its directory.

  --minutes N      minimum duration; the run also tries each variant of each fault (5)
  --faults LIST    some of ${FAULT_KINDS.join(", ")} (all)
  --power-cuts N   number of power cuts (each variant once)
  --io-cases TEXT  only I/O errors whose name contains the text: "leader at load"
  --quick          pauses of 4 s instead of 30 s
  --keep           keep logs, journal and disk images even if the run succeeds
  --json           print one JSON object instead of the tables

Exit status 1 for any violation, for too little traffic, for faults without effect, and for a run
without a leader change. Its directory is kept.
`;

/** Parses the command line. @throws {AshlarError} INVALID_ARGUMENT */
export function parseSoakOptions(commandLine: readonly string[]): SoakOptions | "help" {
  const values = parseWords(commandLine, {
    minutes: { type: "string" },
    faults: { type: "string" },
    "power-cuts": { type: "string" },
    "io-cases": { type: "string" },
    quick: { type: "boolean" },
  });
  if (values.help === true) return "help";
  return {
    minutes: amount("minutes", values.minutes ?? "5"),
    faults: parseFaults(values.faults),
    powerCuts: Math.floor(amount("power-cuts", values["power-cuts"] ?? "0")),
    ioCases: values["io-cases"] ?? "",
    quick: values.quick ?? false,
    ...commonOf(values),
  };
}

function parseFaults(text: string | undefined): FaultKind[] {
  if (text === undefined) return [...FAULT_KINDS];
  return text.split(",").map((name) => {
    const kind = FAULT_KINDS.find((each) => each === name);
    if (kind !== undefined) return kind;
    throw new AshlarError(
      "INVALID_ARGUMENT",
      `Cannot use --faults ${text}: expected names among ${FAULT_KINDS.join(", ")}: found "${name}"`,
    );
  });
}
