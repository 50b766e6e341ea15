import { equalBytes } from "../../shared/base/bytes.ts";
import { AshlarError } from "../../shared/base/errors.ts";
import { type BackupMessage, readBackup } from "../../shared/protocol/backup-api.ts";
import type { Received, Stream } from "../../shared/wire/rpc.ts";
import type { ClientDeps } from "../client-deps.ts";
import type { CallOptions } from "../options.ts";
import type { BackupPart } from "../results.ts";

/** Default timeout: none. The keep-alive of the connection ends a backup without progress. */
const NO_TIMEOUT_MS = Number.POSITIVE_INFINITY;

/**
 * Yields the whole replicated state at one log index, from one master. Returns after the complete
 * state was received and its digest was verified.
 *
 * @throws {AshlarError} PROTOCOL_ERROR if the digest or the row count does not match;
 *   CONNECTION_LOST, CANCELLED, DEADLINE_EXCEEDED.
 */
export async function* backup(
  deps: ClientDeps,
  call: CallOptions,
): AsyncGenerator<BackupPart, void, void> {
  const { hasher } = deps.env;
  const timeoutMs = call.timeoutMs ?? NO_TIMEOUT_MS;
  const { signal } = call;
  const connection = await deps.masters.connection(call);
  const stream = connection.open(
    readBackup,
    {},
    { timeoutMs, ...(signal === undefined ? {} : { signal }) },
  );
  const digest = hasher.stream();
  let rows = 0;
  try {
    for (;;) {
      const message = await next(stream);
      const { head } = message;
      const bytes = message.body.slice();
      message.release();
      if (head.kind === "begin") yield { kind: "head", head: head.head };
      else if (head.kind === "part") {
        digest.update(bytes);
        rows += head.entryCount;
        yield { kind: "rows", rowCount: head.entryCount, bytes };
      } else {
        const isWhole = head.entryCount === rows && equalBytes(head.digest, digest.digest());
        if (!isWhole) {
          throw new AshlarError(
            "PROTOCOL_ERROR",
            "Cannot read the backup: its digest does not match",
          );
        }
        return;
      }
    }
  } finally {
    // Tells the master if the consumer stopped early. No effect after the end of the stream.
    stream.cancel(new AshlarError("CANCELLED", "The reader of the backup has stopped"));
  }
}

async function next(
  stream: Stream<Record<string, never>, BackupMessage>,
): Promise<Received<BackupMessage>> {
  const message = await stream.receive();
  if (message === null) {
    throw new AshlarError("CONNECTION_LOST", "Cannot read the backup: the stream ended too early");
  }
  return message;
}
