import { AshlarError } from "../../shared/base/errors.ts";
import {
  HISTORY_RETENTION_MS_MAX,
  setHistoryRetention as method,
} from "../../shared/protocol/history-api.ts";
import type { MasterSession } from "../masters/master-session.ts";
import type { CallOptions } from "../options.ts";

/** Changes the retention of the history. @throws {AshlarError} see `FileSystem` */
export async function setHistoryRetention(
  masters: MasterSession,
  retentionMs: number,
  options: CallOptions,
): Promise<void> {
  const isValid = Number.isSafeInteger(retentionMs) && retentionMs >= 0;
  if (!isValid || retentionMs > HISTORY_RETENTION_MS_MAX) {
    throw new AshlarError(
      "INVALID_ARGUMENT",
      `Cannot set the retention of the history: expected 0 to ${HISTORY_RETENTION_MS_MAX} ms (366 days): current value is ${retentionMs}`,
    );
  }
  await masters.mutate(method, (attempt) => ({ attempt, retentionMs }), options);
}
