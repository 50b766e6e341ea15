import { equalBytes } from "../../shared/base/bytes.ts";
import { AshlarError } from "../../shared/base/errors.ts";
import { type BackupMessage, readBackup } from "../../shared/protocol/backup-api.ts";
import type { Received, Stream } from "../../shared/wire/rpc.ts";
import type { ClientDeps } from "../client-deps.ts";
import type { CallOptions } from "../options.ts";
import type { BackupPart } from "../results.ts";

/** A backup takes as long as it moves: the connection's keep-alive ends one that does not. */
const LIFETIME_MS = 7 * 24 * 60 * 60 * 1_000;

/** Reads the whole replicated state at one index from a master. Ends when all of it has come. */
export async function* backup(
  deps: ClientDeps,
  call: CallOptions,
): AsyncGenerator<BackupPart, void, void> {
  const { hasher } = deps.env;
  const timeoutMs = call.timeoutMs ?? LIFETIME_MS;
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
        if (!isWhole) throw new AshlarError("PROTOCOL_ERROR", "The backup is not what was sent");
        return;
      }
    }
  } finally {
    // After the end this does nothing; who stops in the middle is heard by the master.
    stream.cancel(new AshlarError("CANCELLED", "The backup is not wanted any more"));
  }
}

async function next(
  stream: Stream<Record<string, never>, BackupMessage>,
): Promise<Received<BackupMessage>> {
  const message = await stream.receive();
  if (message === null) throw new AshlarError("CONNECTION_LOST", "The backup ends too early");
  return message;
}
