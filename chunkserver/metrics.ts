import type { Counter, Metrics } from "../shared/ports/metrics.ts";
import type { WriteAdmission } from "./pipeline/write-admission.ts";
import type { ChunkStore } from "./store/chunk-store.ts";

export interface ChunkserverCounters {
  readonly bytesReceived: Counter;
  readonly bytesSent: Counter;
  readonly bytesProved: Counter;
}

export function makeCounters(metrics: Metrics): ChunkserverCounters {
  return {
    bytesReceived: metrics.counter(
      "ashlar_chunkserver_received_bytes",
      "Bytes of chunks that were received and verified",
    ),
    bytesSent: metrics.counter("ashlar_chunkserver_sent_bytes", "Bytes of chunks that were read"),
    bytesProved: metrics.counter(
      "ashlar_chunkserver_scrubbed_bytes",
      "Bytes of chunks that the scrub has read and compared with their hashes",
    ),
  };
}

/** What is read from the parts when somebody asks. */
export function exposeGauges(
  metrics: Metrics,
  parts: { readonly store: ChunkStore; readonly admission: WriteAdmission },
): void {
  const { store, admission } = parts;
  const gauge = (name: string, help: string, read: () => number): void =>
    metrics.gauge(`ashlar_chunkserver_${name}`, help, read);
  gauge("chunks", "Chunks on this server", () => store.tally.chunkCount);
  gauge("chunk_bytes", "Bytes of the chunks on this server", () => store.tally.chunkBytes);
  gauge("unconfirmed_chunks", "Chunks that no commit is known to name", () => {
    return store.tally.unconfirmedCount;
  });
  gauge("active_writes", "Writes under way", () => admission.count);
  gauge("write_window_bytes", "Bytes that writes under way may hold", () => admission.takenBytes);
  gauge("open_writes", "Writes that are not sealed, held or not", () => store.openWriteCount);
  gauge("packed_files", "Extent files of small chunks", () => store.packedFileCount);
  gauge("packed_dead_bytes", "Bytes in packed files that no chunk uses", () => {
    return store.packedDeadBytes;
  });
  gauge("disk_full", "1 if the disk is full, or was and no write has found room since", () => {
    return store.isFull ? 1 : 0;
  });
  gauge("disk_failed", "1 if the disk has failed and takes no writes", () => {
    return store.failure === null ? 0 : 1;
  });
}
