import { parseArgs } from "node:util";
import { AshlarError } from "../../shared/base/errors.ts";

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
export type FaultKind = (typeof FAULT_KINDS)[number];

export interface SoakOptions {
  /** At least so long, from the first fault on. */
  readonly minutes: number;
  readonly faults: readonly FaultKind[];
  /** At least so many power cuts, however long they take; 0: each variant once. */
  readonly powerCuts: number;
  /** Only I/O errors whose description contains this. */
  readonly ioCases: string;
  /** Pauses of 4 s instead of 30 s. */
  readonly quick: boolean;
  readonly json: boolean;
  /** Keep the directory also when everything held. */
  readonly keep: boolean;
  /** Set in the process that runs inside the namespaces: its working directory. */
  readonly inside: string | null;
}

export const USAGE = `Usage: npm run soak:meta -- [--minutes N] [--faults LIST] [--power-cuts N] [--io-cases TEXT] [--quick] [--keep] [--json]

A cluster of 3 masters and 4 chunkservers as processes, each on a disk and in a network namespace of
its own, under load, while real faults happen to it. Needs root and Linux; touches nothing outside of
its own namespaces and its directory.

  --minutes N      at least so long, and until each variant of each fault was tried (5)
  --faults LIST    of ${FAULT_KINDS.join(", ")} (all)
  --power-cuts N   so many power cuts, instead of each variant at least
  --io-cases TEXT  of the I/O errors only those whose description contains the text: "leader at load"
  --quick          pauses of 4 s instead of 30 s
  --keep           keep logs, journal and disk images also when everything held
  --json           one JSON object instead of the tables

Exit status 1 for any violation, for too little traffic, for faults that did not fire, and for a run
without a change of leader: its directory is kept.
`;

/** @throws {AshlarError} INVALID_ARGUMENT */
export function parseSoakOptions(commandLine: readonly string[]): SoakOptions | "help" {
  const { values } = parse(commandLine);
  if (values.help === true) return "help";
  return {
    minutes: amount("minutes", values.minutes ?? "5"),
    faults: parseFaults(values.faults),
    powerCuts: Math.floor(amount("power-cuts", values["power-cuts"] ?? "0")),
    ioCases: values["io-cases"] ?? "",
    quick: values.quick ?? false,
    json: values.json ?? false,
    keep: values.keep ?? false,
    inside: values.inside ?? null,
  };
}

function parse(commandLine: readonly string[]) {
  try {
    return parseArgs({
      args: [...commandLine],
      options: {
        minutes: { type: "string" },
        faults: { type: "string" },
        "power-cuts": { type: "string" },
        "io-cases": { type: "string" },
        quick: { type: "boolean" },
        json: { type: "boolean" },
        keep: { type: "boolean" },
        inside: { type: "string" },
        help: { type: "boolean" },
      },
    });
  } catch (error) {
    throw new AshlarError("INVALID_ARGUMENT", (error as Error).message, { cause: error });
  }
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

function amount(name: string, text: string): number {
  const value = Number(text);
  if (Number.isFinite(value) && value >= 0) return value;
  throw new AshlarError(
    "INVALID_ARGUMENT",
    `Cannot use --${name}: expected a number from 0: current value is ${text}`,
  );
}
