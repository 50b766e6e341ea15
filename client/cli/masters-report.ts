import { AshlarError, isAshlarError } from "../../shared/base/errors.ts";
import { shellWord } from "../../shared/display/shell-word.ts";
import type { MasterProbe, MastersProbe } from "../masters/probe-masters.ts";
import { describeMaster, majorityText } from "../masters/probe-text.ts";
import type { NodeNames } from "./node-names.ts";
import type { Output } from "./output.ts";
import { withNodes } from "./status-view.ts";
import { type Column, formatTable } from "./table-view.ts";

/** Silent masters are believed to be down after this time: a busy machine is silent for seconds. */
export const SILENCE_MS_MIN = 10_000;

/** The cluster that the setting `cluster` names, for hints. */
export interface ClusterOrigin {
  /** Directory of a local cluster, as the user gave it; null for a list of masters. */
  readonly directory: string | null;
  /** Where the setting comes from: "--cluster", "ASHLAR_CLUSTER", the path of the config file. */
  readonly origin: string;
}

/**
 * Returns the error of a command that no master can serve: UNAVAILABLE if all masters refuse the
 * connection, NO_LEADER without a majority. Null if the masters may answer soon.
 *
 * @param waitedMs time for which the command has had no answer
 */
export function unservable(
  probe: MastersProbe,
  cluster: ClusterOrigin,
  waitedMs: number,
): AshlarError | null {
  const masters = probe.masters.map(describeMaster).join(", ");
  const options = { hint: hintFor(cluster), details: { probed: probe.masters.map(jsonMaster) } };
  if (probe.isAllRefused) {
    const text = `Cannot reach any master (${masters}); is the cluster running?`;
    return new AshlarError("UNAVAILABLE", text, options);
  }
  if (!probe.hasNoMajority || probe.masters.length === 0) return null;
  if (probe.isMajorityUncertain && waitedMs < SILENCE_MS_MIN) return null;
  const text = `Cannot use the cluster: ${majorityText(probe.answeredCount, probe.voterCount)} (${masters})`;
  return new AshlarError("NO_LEADER", text, options);
}

/** Returns what to do about masters that do not run. */
function hintFor({ directory, origin }: ClusterOrigin): string {
  if (directory !== null) return `ashlar cluster up --dir ${shellWord(directory)}`;
  return `Start the masters that do not answer, or correct the addresses in ${origin}`;
}

/** The state of one master with the keys of `ashlar status --json`. */
interface ProbedMaster {
  readonly member_id: number | null;
  readonly address: string;
  readonly role: string;
  readonly term: number | null;
  /** What only a leader knows. */
  readonly last_index: null;
  readonly committed_index: null;
  readonly applied_index: null;
  readonly clock_ahead_ms: null;
  readonly refusal: null;
  readonly disk_full: { readonly kind: string; readonly reason: string } | null;
  readonly vote: "voter" | "learner";
  /** Why the master did not answer; null if it did. */
  readonly problem: string | null;
}

function jsonMaster({ address, answer, problem, isVoter }: MasterProbe): ProbedMaster {
  const { memberId = null, role = "unreachable", term = null } = answer ?? {};
  const vote = isVoter ? "voter" : "learner";
  const unknown = {
    last_index: null,
    committed_index: null,
    applied_index: null,
    clock_ahead_ms: null,
    refusal: null,
  } as const;
  const disk_full = answer?.diskFull ?? null;
  return { member_id: memberId, address, role, term, ...unknown, disk_full, vote, problem };
}

/** Returns why a master that answers takes no part; null if it does. */
function failureOf({ disk_full }: ProbedMaster): string | null {
  return disk_full?.kind === "log" ? `takes no part: ${disk_full.reason}` : null;
}

/** The keys of `ashlar status --json` that only a leader knows. */
const UNSERVED = {
  cluster_id: null,
  index: null,
  masters: [],
  chunkservers: [],
  feature_level: null,
  enrolment: null,
  default_copies: null,
  namespace: null,
  history: null,
} as const;

const COLUMNS: readonly Column[] = [
  { heading: "MASTER", dropRank: 1 },
  { heading: "ROLE" },
  { heading: "TERM", isRight: true },
  { heading: "ADDRESS" },
  { heading: "STATE" },
];

/** The state of a cluster that cannot serve, as far as the masters know it. */
export interface UnservedReport {
  /** "no majority: 1 of 3 masters answers" */
  readonly reason: string;
  readonly masters: readonly ProbedMaster[];
  readonly hint: string | undefined;
}

/** Returns the report in an error of `unservable`; null for another error. */
export function unservedReport(error: unknown): UnservedReport | null {
  if (!isAshlarError(error, "NO_LEADER") && !isAshlarError(error, "UNAVAILABLE")) return null;
  const masters = error.details["probed"] as readonly ProbedMaster[] | undefined;
  if (masters === undefined) return null;
  const voters = masters.filter(({ vote }) => vote === "voter");
  const answered = voters.filter((each) => each.problem === null && failureOf(each) === null);
  return { reason: majorityText(answered.length, voters.length), masters, hint: error.hint };
}

/** Returns the text of `ashlar status` for a cluster that cannot serve. */
export function describeUnserved(
  { reason, masters }: UnservedReport,
  {
    output,
    names,
  }: { readonly output: Pick<Output, "paint" | "columns">; readonly names: NodeNames },
): string {
  const { columns, cell } = withNodes(COLUMNS, names);
  const rows = masters.map((master) => {
    const { member_id, address, role, term, vote, problem } = master;
    const state = problem ?? failureOf(master) ?? "answers";
    return [
      ...cell(address),
      String(member_id ?? "-"),
      role,
      String(term ?? "-"),
      address,
      `${state}${vote === "learner" ? ", does not vote" : ""}`,
    ];
  });
  return [
    `cluster: ${output.paint(["red", "bold"], "critical")}`,
    `  ${reason}: no command can read or change anything`,
    "",
    formatTable(columns, rows, output.columns),
  ].join("\n");
}

/** Returns the keys of `ashlar status --json` for a cluster that cannot serve. */
export function unservedJson({ reason, masters }: UnservedReport): Record<string, unknown> {
  return { ...UNSERVED, health: { word: "critical", reasons: [reason], is_full: false }, masters };
}
