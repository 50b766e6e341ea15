import type { LogIndex } from "../../shared/base/ids.ts";
import type { DriverLimits } from "./driver.ts";
import type { DurableLog } from "./member-storage.ts";

/**
 * Up to which entry the log is of no more use, null while it is not worth a step.
 *
 * Neither a restart (the state is durable up to `durableIndex`) nor a snapshot on its way (from
 * `sendingIndex` on) needs what goes, and a tail stays for followers that are slow.
 */
export function compactionPoint(
  log: DurableLog,
  limits: DriverLimits,
  needed: { readonly durableIndex: LogIndex; readonly sendingIndex: number },
): LogIndex | null {
  const { entries, hardState } = log;
  const { durableIndex, sendingIndex } = needed;
  const held = Math.min(durableIndex, hardState.commitIndex, sendingIndex) as LogIndex;
  const start = entries.tailStart(held, {
    entriesMax: limits.logTailEntries,
    bytesMax: limits.logTailBytes,
  });
  const isMuch =
    start - entries.base.index > limits.logTailEntries / 4 ||
    entries.sizeBytes > 2 * limits.logTailBytes;
  return start > entries.base.index && isMuch ? start : null;
}
