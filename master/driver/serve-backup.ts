import { AshlarError } from "../../shared/base/errors.ts";
import type { LogIndex } from "../../shared/base/ids.ts";
import type { Clock } from "../../shared/ports/clock.ts";
import type { BackupHead, BackupMessage } from "../../shared/protocol/backup-api.ts";
import type { Stream } from "../../shared/wire/rpc.ts";
import type { StateMachine } from "../state-machine.ts";
import { GuardedStream } from "./guarded-stream.ts";
import { type SendPartsOptions, sendParts } from "./snapshot-parts.ts";

/** Interval between two checks of the durable index, in milliseconds. */
const POLL_MS = 20;

/** The stream on which a backup is sent. */
export type BackupStream = Stream<BackupMessage, Record<string, never>>;

/** Options of `serveBackup`. */
export interface ServeBackupOptions extends SendPartsOptions {
  readonly machine: StateMachine;
  readonly clock: Clock;
  readonly stallMs: number;
  /** Facts for the head of the backup that the state machine does not have. */
  readonly headFields: Pick<BackupHead, "clusterId" | "featureLevel">;
}

/**
 * Resolves when the store contains all entries up to `index`.
 *
 * @throws {AshlarError} DEADLINE_EXCEEDED
 */
export async function waitDurable(
  machine: () => StateMachine,
  index: LogIndex,
  { clock, timeoutMs }: { readonly clock: Clock; readonly timeoutMs: number },
): Promise<void> {
  const deadlineMs = clock.monotonicMs() + timeoutMs;
  while (machine().durable.index < index) {
    if (clock.monotonicMs() > deadlineMs) {
      throw new AshlarError(
        "DEADLINE_EXCEEDED",
        `Cannot read the state at index ${index}: it was not flushed within ${timeoutMs} ms`,
      );
    }
    await clock.sleep(POLL_MS);
  }
}

/**
 * Sends the durable state at one log index. During the transfer the member continues to serve
 * requests and to apply entries.
 *
 * @throws {AshlarError} UNSUPPORTED if the state machine keeps no state hash; see `sendParts`
 */
export async function serveBackup(
  stream: BackupStream,
  options: ServeBackupOptions,
): Promise<void> {
  const { machine, clock, headFields } = options;
  const guarded = new GuardedStream(stream, options);
  const snapshot = machine.openSnapshot();
  try {
    const { index, term, stateHash } = snapshot;
    if (stateHash === null) {
      throw new AshlarError(
        "UNSUPPORTED",
        "Cannot make a backup: the state machine keeps no state hash",
      );
    }
    const createdMs = clock.wallMs();
    const head = { ...headFields, index, term, createdMs: Math.floor(createdMs), stateHash };
    await guarded.send({ kind: "begin", head });
    await sendParts(snapshot, options, (part, body) => guarded.send(part, body));
    guarded.end();
  } finally {
    snapshot.release();
  }
}
