import type { Counter, Metrics } from "../shared/ports/metrics.ts";
import type { ReadMemory } from "./pipeline/read-memory.ts";
import type { WriteAdmission } from "./pipeline/write-admission.ts";
import type { ChunkStore } from "./store/chunk-store.ts";

/** Counters of the bytes that pass through a chunkserver. */
export interface ChunkserverCounters {
  readonly bytesReceived: Counter;
  readonly bytesSent: Counter;
  readonly bytesScrubbed: Counter;
}

/** Registers the counters in `metrics`. */
export function makeCounters(metrics: Metrics): ChunkserverCounters {
  return {
    bytesReceived: metrics.counter(
      "ashlar_chunkserver_received_bytes",
      "Bytes of chunks that were received and verified",
    ),
    bytesSent: metrics.counter("ashlar_chunkserver_sent_bytes", "Bytes of chunks that were read"),
    bytesScrubbed: metrics.counter(
      "ashlar_chunkserver_scrubbed_bytes",
      "Bytes of chunks that the scrub has read and compared with their hashes",
    ),
  };
}

/** Registers gauges that read the state of the server when the metrics are collected. */
export function exposeGauges(
  metrics: Metrics,
  sources: {
    readonly store: ChunkStore;
    readonly admission: WriteAdmission;
    readonly memory: ReadMemory;
  },
): void {
  const { store, admission, memory } = sources;
  const gauge = (name: string, help: string, read: () => number): void =>
    metrics.gauge(`ashlar_chunkserver_${name}`, help, read);
  gauge("chunks", "Chunks on this server", () => store.totals.chunkCount);
  gauge("chunk_bytes", "Bytes of the chunks on this server", () => store.totals.chunkBytes);
  gauge("unconfirmed_chunks", "Chunks not yet confirmed to belong to a committed file", () => {
    return store.totals.unconfirmedCount;
  });
  gauge("active_writes", "Writes in progress", () => admission.count);
  gauge("waiting_writes", "Writes that wait for memory", () => admission.waitingCount);
  gauge("write_window_bytes", "Bytes reserved for writes in progress", () => {
    return admission.reservedBytes;
  });
  gauge("waiting_reads", "Reads that wait for memory", () => memory.waitingCount);
  gauge("read_bytes_in_flight", "Bytes between the disk and the network", () => {
    return memory.acquiredBytes;
  });
  gauge("open_writes", "Writes that are not sealed, with or without a writer", () => {
    return store.openWriteCount;
  });
  gauge("packed_files", "Extent files of small chunks", () => store.packedFileCount);
  gauge("packed_dead_bytes", "Bytes in packed files that no chunk uses", () => {
    return store.packedDeadBytes;
  });
  gauge("disk_full", "1 if the disk is full, or no write has succeeded since it was full", () => {
    return store.isFull ? 1 : 0;
  });
  gauge("unreadable_chunks", "Chunks that the disk could not read at their last read", () => {
    return store.unreadableCount;
  });
  gauge("disk_failed", "1 if the disk has failed and accepts no writes", () => {
    return store.failure === null ? 0 : 1;
  });
}
