import type { LogIndex } from "../../shared/base/ids.ts";
import type { DriverLimits } from "./driver.ts";
import type { DurableLog } from "./member-storage.ts";

/**
 * Returns the last index that the log can drop, or null if compaction would free too little.
 *
 * The dropped entries are needed neither for a restart (the state is durable up to `durableIndex`)
 * nor by the receiver of a snapshot (which needs the log from `sendingIndex` on). A tail of entries
 * stays in the log for slow followers, which would otherwise need a snapshot.
 */
export function compactionPoint(
  log: DurableLog,
  limits: DriverLimits,
  needed: { readonly durableIndex: LogIndex; readonly sendingIndex: number },
): LogIndex | null {
  const { entries, hardState } = log;
  const { durableIndex, sendingIndex } = needed;
  const droppableIndex = Math.min(durableIndex, hardState.commitIndex, sendingIndex) as LogIndex;
  const start = entries.tailStart(droppableIndex, {
    entriesMax: limits.logTailEntries,
    bytesMax: limits.logTailBytes,
  });
  const isWorthwhile =
    start - entries.base.index > limits.logTailEntries / 4 ||
    entries.sizeBytes > 2 * limits.logTailBytes;
  return start > entries.base.index && isWorthwhile ? start : null;
}
