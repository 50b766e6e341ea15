import Table from "cli-table3";
import { formatCount } from "../../shared/display/format.ts";
import { median } from "../statistics.ts";
import type { FaultOutcome } from "./fault.ts";
import type { TrafficCounts } from "./writer.ts";

/** One fault and the recovery after it. */
export interface Round extends FaultOutcome {
  /** Time from the end of the fault until the cluster was whole. Null if the timeout expired. */
  readonly wholeMs: number | null;
}

/** Result of a run, as printed with --json. */
export interface SoakReport {
  readonly schema: "ashlar.soak/1";
  readonly ok: boolean;
  readonly seconds: number;
  readonly traffic: TrafficCounts;
  readonly filesRead: number;
  readonly leaderChanges: number;
  readonly faults: readonly {
    readonly kind: string;
    readonly what: string;
    readonly turns: number;
    readonly fired: number;
    readonly wholeMsMedian: number | null;
    readonly wholeMsMax: number | null;
    /** Evidence of the last turn. */
    readonly evidence: string;
  }[];
  /** Number of power cuts of disks, by file system. */
  readonly disksCut: { readonly ext4: number; readonly xfs: number };
  readonly violations: readonly string[];
  /** Steps of a first start at which no error fired, and where the same call failed instead. */
  readonly notMet: readonly string[];
  /** Reasons why the run proves too little: traffic, faults, leader changes. */
  readonly shortcomings: readonly string[];
}

/** Input of a report. */
export interface RunFacts {
  readonly seconds: number;
  readonly traffic: TrafficCounts;
  readonly filesRead: number;
  readonly leaderChanges: number;
  readonly rounds: readonly Round[];
  readonly kinds: readonly string[];
  readonly violations: readonly string[];
}

/** Changes that must be acknowledged for each fault. */
const CHANGES_PER_FAULT_MIN = 20;

/** Returns the report of a run. */
export function reportOf(facts: RunFacts): SoakReport {
  const shortcomings = shortcomingsOf(facts);
  const { seconds, traffic, filesRead, leaderChanges, violations, rounds } = facts;
  const powerCuts = rounds.filter((round) => round.kind === "power-cut" && round.fired);
  const disks = powerCuts.flatMap((round) => round.nodes);
  return {
    schema: "ashlar.soak/1",
    ok: violations.length === 0 && shortcomings.length === 0,
    seconds,
    traffic,
    filesRead,
    leaderChanges,
    faults: [...groups(rounds)].map(([, group]) => lineOf(group)),
    disksCut: {
      ext4: disks.filter((name) => name.endsWith("/ext4")).length,
      xfs: disks.filter((name) => name.endsWith("/xfs")).length,
    },
    violations,
    notMet: notMetIn(rounds),
    shortcomings,
  };
}

function groups(rounds: readonly Round[]): Map<string, Round[]> {
  const byName = new Map<string, Round[]>();
  for (const round of rounds) {
    const name = `${round.kind} ${round.variant}`;
    byName.set(name, [...(byName.get(name) ?? []), round]);
  }
  return new Map([...byName].sort(([left], [right]) => (left < right ? -1 : 1)));
}

function lineOf(group: readonly Round[]): SoakReport["faults"][number] {
  const [first] = group;
  if (first === undefined) throw new Error("A group has at least one round");
  const times = group.flatMap(({ wholeMs }) => wholeMs ?? []);
  return {
    kind: first.kind,
    what: first.variant,
    turns: group.length,
    fired: group.filter((round) => round.fired).length,
    wholeMsMedian: times.length === 0 ? null : median(times),
    wholeMsMax: times.length === 0 ? null : Math.max(...times),
    evidence: group.at(-1)?.evidence ?? "",
  };
}

function shortcomingsOf({ traffic, rounds, kinds, leaderChanges }: RunFacts): string[] {
  const shortcomings: string[] = [];
  const wanted = rounds.length * CHANGES_PER_FAULT_MIN;
  if (traffic.acknowledged < wanted) {
    shortcomings.push(
      `${formatCount(traffic.acknowledged, "change")} acknowledged: expected ${wanted}`,
    );
  }
  if (traffic.reads < wanted) {
    shortcomings.push(`${formatCount(traffic.reads, "read")}: expected ${wanted}`);
  }
  for (const kind of kinds) {
    const ofKind = rounds.filter((round) => round.kind === kind);
    if (ofKind.length === 0) shortcomings.push(`no ${kind} ran`);
  }
  for (const [name, group] of groups(rounds)) {
    if (isMet(group, rounds)) continue;
    shortcomings.push(`${name}: did not fire`);
  }
  if (leaderChanges === 0) shortcomings.push("no leader change");
  return shortcomings;
}

/** Returns whether the fault fired. For a step of a first start, another phase counts too. */
function isMet(group: readonly Round[], rounds: readonly Round[]): boolean {
  if (group.some((round) => round.fired)) return true;
  const io = group[0]?.io;
  if (io === undefined || !io.isFirstStart) return false;
  return rounds.some((round) => round.fired && round.io?.callSite === io.callSite);
}

function notMetIn(rounds: readonly Round[]): string[] {
  const lines: string[] = [];
  for (const { variant, io, fired } of rounds) {
    if (io === undefined || !io.isFirstStart || fired) continue;
    const other = rounds.find((round) => round.fired && round.io?.callSite === io.callSite);
    lines.push(
      `${variant}: ${other === undefined ? "did not fire" : `fired as "${other.variant}"`}`,
    );
  }
  return lines;
}

/** Formats the report for people. */
export function describeReport(report: SoakReport): string {
  const table = new Table({
    head: ["fault", "turns", "fired", "whole again", "evidence"],
    style: { head: [], border: [], compact: true },
  });
  for (const line of report.faults) {
    const { kind, what, turns, fired, wholeMsMedian, wholeMsMax, evidence } = line;
    const times = `${seconds(wholeMsMedian)} / ${seconds(wholeMsMax)}`;
    table.push([`${kind}: ${what}`, turns, fired, times, evidence.slice(0, 80)]);
  }
  const { acknowledged, unknown, reads, failedReads, failedReadsByCode } = report.traffic;
  const codes = Object.entries(failedReadsByCode).map(([code, count]) => `${code} ${count}`);
  const failed = codes.length === 0 ? "" : ` (${codes.join(", ")})`;
  const { ext4, xfs } = report.disksCut;
  return [
    table.toString(),
    "whole again: median / maximum, from the end of the fault",
    `${formatCount(acknowledged, "change")} acknowledged, ${unknown} unknown and resolved; ${formatCount(reads, "read")} checked, ${failedReads} failed${failed}`,
    `${formatCount(report.filesRead, "file")} read back after faults; ${formatCount(report.leaderChanges, "leader change")}`,
    `disks whose power was cut: ${ext4} ext4, ${xfs} XFS; duration ${report.seconds} s`,
    ...report.notMet.map((text) => `NOT FIRED: ${text}`),
    ...report.violations.map((text) => `VIOLATION: ${text}`),
    ...report.shortcomings.map((text) => `INSUFFICIENT: ${text}`),
    report.ok ? "All guarantees held." : "Not all guarantees held.",
  ].join("\n");
}

function seconds(ms: number | null): string {
  return ms === null ? "never" : `${(ms / 1000).toFixed(1)} s`;
}
