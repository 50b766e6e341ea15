import type { Clock } from "../../shared/ports/clock.ts";
import type { WriteDown, WriteOpen, WriteUp } from "../../shared/protocol/chunk-api.ts";
import type { CallContext, Stream } from "../../shared/wire/rpc.ts";
import type { ChunkStore } from "../store/chunk-store.ts";
import type { AdmittedWrite, WriteAdmission } from "./write-admission.ts";

/** Interval of the messages to a writer that waits, below its timeouts. */
const NOTICE_MS = 2_000;
/** Longest wait of a writer that gets no notice. Its timeout for an answer is 10 s. */
const WAIT_WITHOUT_NOTICE_MS_MAX = 3_000;

/** Dependencies of `admitWrite`. */
export interface AdmitDeps {
  readonly store: Pick<ChunkStore, "serverId">;
  readonly clock: Clock;
  readonly admission: WriteAdmission;
}

/**
 * Resolves with memory for the write. While it waits, the writer gets a `waiting` message at once and
 * then every NOTICE_MS.
 *
 * @throws {AshlarError} OVERLOADED; the reason of the signal
 */
export async function admitWrite(
  { store, clock, admission }: AdmitDeps,
  open: WriteOpen,
  stream: Stream<WriteDown, WriteUp>,
  context: CallContext,
): Promise<AdmittedWrite> {
  const { position, intent, sizeHintBytes, waits } = open;
  const hopsAfter = intent.servers.length - 1 - position;
  // The connection: of a client, or of the server before this one, which takes its clients in turn.
  const source = context.peerAddress;
  const waitMsMax = waits ? context.remainingMs() : WAIT_WITHOUT_NOTICE_MS_MAX;
  const { signal } = context;
  const admitting = admission.admit({ source, hopsAfter, sizeHintBytes, signal, waitMsMax });
  if (!waits) return await admitting;
  let isOver = false;
  const notify = (): void => {
    if (isOver) return;
    const { serverId } = store;
    // If the send fails, the stream has ended, and so has the wait.
    stream.send({ kind: "waiting", serverId }).catch(() => {});
    timer = clock.after(NOTICE_MS, notify);
  };
  // Most writes do not wait: they end before the next turn.
  let timer = clock.after(0, notify);
  try {
    return await admitting;
  } finally {
    isOver = true;
    timer.cancel();
  }
}
