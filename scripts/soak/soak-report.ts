import Table from "cli-table3";
import type { FaultOutcome } from "./fault.ts";
import type { Tally } from "./writer.ts";

/** One fault, and what came after it. */
export interface Round extends FaultOutcome {
  /** From the end of the fault until nothing was missing; null: it was not in time. */
  readonly wholeMs: number | null;
}

export interface SoakReport {
  readonly schema: "ashlar.soak/1";
  readonly ok: boolean;
  readonly seconds: number;
  readonly traffic: Tally;
  readonly filesRead: number;
  readonly leaderChanges: number;
  readonly faults: readonly {
    readonly kind: string;
    readonly what: string;
    readonly turns: number;
    readonly fired: number;
    readonly wholeMsMedian: number | null;
    readonly wholeMsMax: number | null;
    /** Of the last turn. */
    readonly evidence: string;
  }[];
  /** Power cuts by file system: how often a disk of each lost what was not synced. */
  readonly disksCut: { readonly ext4: number; readonly xfs: number };
  readonly violations: readonly string[];
  /** Steps of a first start that no error met, and where the same call met it instead. */
  readonly notMet: readonly string[];
  /** Why the run proves too little: traffic, faults, leader changes. */
  readonly shortcomings: readonly string[];
}

export interface RunFacts {
  readonly seconds: number;
  readonly traffic: Tally;
  readonly filesRead: number;
  readonly leaderChanges: number;
  readonly rounds: readonly Round[];
  readonly kinds: readonly string[];
  readonly violations: readonly string[];
}

/** Changes that must have been acknowledged, for each fault. */
const CHANGES_PER_FAULT_MIN = 20;

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
    const name = `${round.kind} ${round.what}`;
    byName.set(name, [...(byName.get(name) ?? []), round]);
  }
  return new Map([...byName].sort(([left], [right]) => (left < right ? -1 : 1)));
}

function lineOf(group: readonly Round[]): SoakReport["faults"][number] {
  const [first] = group;
  if (first === undefined) throw new Error("A group has a member");
  const times = group.flatMap(({ wholeMs }) => wholeMs ?? []).sort((left, right) => left - right);
  return {
    kind: first.kind,
    what: first.what,
    turns: group.length,
    fired: group.filter((round) => round.fired).length,
    wholeMsMedian: times[Math.floor(times.length / 2)] ?? null,
    wholeMsMax: times.at(-1) ?? null,
    evidence: group.at(-1)?.evidence ?? "",
  };
}

function shortcomingsOf({ traffic, rounds, kinds, leaderChanges }: RunFacts): string[] {
  const shortcomings: string[] = [];
  const wanted = rounds.length * CHANGES_PER_FAULT_MIN;
  if (traffic.acknowledged < wanted) {
    shortcomings.push(`${traffic.acknowledged} changes were acknowledged: expected ${wanted}`);
  }
  if (traffic.reads < wanted) shortcomings.push(`${traffic.reads} reads: expected ${wanted}`);
  for (const kind of kinds) {
    const ofKind = rounds.filter((round) => round.kind === kind);
    if (ofKind.length === 0) shortcomings.push(`no ${kind} was tried`);
  }
  for (const [name, group] of groups(rounds)) {
    if (isMet(group, rounds)) continue;
    shortcomings.push(`${name}: never fired`);
  }
  if (leaderChanges === 0) shortcomings.push("the leader never changed");
  return shortcomings;
}

/** Whether the fault fired, for a step of a first start also in another phase. */
function isMet(group: readonly Round[], rounds: readonly Round[]): boolean {
  if (group.some((round) => round.fired)) return true;
  const io = group[0]?.io;
  if (io === undefined || !io.isFirstStart) return false;
  return rounds.some((round) => round.fired && round.io?.place === io.place);
}

function notMetIn(rounds: readonly Round[]): string[] {
  const lines: string[] = [];
  for (const { what, io, fired } of rounds) {
    if (io === undefined || !io.isFirstStart || fired) continue;
    const other = rounds.find((round) => round.fired && round.io?.place === io.place);
    lines.push(`${what}: ${other === undefined ? "nowhere" : `but "${other.what}" was`}`);
  }
  return lines;
}

/** The report for people. */
export function describeReport(report: SoakReport): string {
  const table = new Table({
    head: ["fault", "turns", "fired", "whole again", "seen"],
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
    "whole again: median / worst, from the end of the fault",
    `${acknowledged} changes acknowledged, ${unknown} unknown and looked up; ${reads} reads judged, ${failedReads} failed${failed}`,
    `${report.filesRead} files read back whole after faults; ${report.leaderChanges} changes of leader`,
    `disks whose power was cut: ${ext4} ext4, ${xfs} XFS; ${report.seconds} s in all`,
    ...report.notMet.map((text) => `NOT MET: ${text}`),
    ...report.violations.map((text) => `VIOLATION: ${text}`),
    ...report.shortcomings.map((text) => `TOO LITTLE: ${text}`),
    report.ok ? "Everything held." : "Not everything held.",
  ].join("\n");
}

function seconds(ms: number | null): string {
  return ms === null ? "never" : `${(ms / 1000).toFixed(1)} s`;
}
