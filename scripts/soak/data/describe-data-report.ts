import { formatCount } from "../../../shared/display/format.ts";
import type { DataSoakReport } from "./run-data-soak.ts";

const MIB = 1024 * 1024;

/** Formats the report for people. */
export function describeDataReport(report: DataSoakReport): string {
  const { counts, memoryBytesMax, seconds } = report;
  const memory = Object.entries(memoryBytesMax).map(
    ([role, bytes]) => `${role} ${Math.round(bytes / MIB)} MiB`,
  );
  const sockets = Object.entries(report.descriptors).map(
    ([name, { before, after }]) =>
      `${name} ${before.sockets}/${after.sockets} ${before.others}/${after.others}`,
  );
  return [
    `${formatCount(counts.written, "file")} written (${mib(counts.writtenBytes)}), ${counts.aborted} aborted; ${formatCount(counts.read, "file")} read (${mib(counts.readBytes)}), ${counts.paused} paused, ${counts.left} left early, ${counts.expired} expired`,
    `longest time without progress ${report.stallMsMax} ms, until the first byte ${report.beginMsMax} ms`,
    `${report.kills} kills, ${report.freezes} times a frozen disk; duration ${seconds} s`,
    `memory at most: ${memory.join(", ")}`,
    `sockets and files before/after: ${sockets.join(", ")}`,
    ...report.violations.map((text) => `VIOLATION: ${text}`),
    ...report.shortcomings.map((text) => `INSUFFICIENT: ${text}`),
    report.ok ? "All promises held." : "Not all promises held.",
  ].join("\n");
}

function mib(bytes: number): string {
  return `${Math.round(bytes / MIB)} MiB`;
}
