import { formatCount, formatSize, jsonName } from "../../../shared/display/format.ts";
import type { ReplicaResult, VerifyResult } from "../../results.ts";
import type { CommandContext, RunCommand } from "../command.ts";
import { DamageFound, PartialFailure } from "../exit-status.ts";
import { forEachPath } from "../patterns/expand-paths.ts";
import { ProgressBar } from "../progress.ts";
import { remotePath } from "../remote-paths.ts";

/** Counts over everything that was verified. */
interface VerifyTotals {
  files: number;
  chunks: number;
  bytes: number;
  badReplicas: number;
  unreadable: number;
}

export const run: RunCommand = async (context, commandArguments, options) => {
  const { output, signal } = context;
  const fileSystem = await context.fileSystem();
  const allReplicas = options["allReplicas"] === true;
  const totals: VerifyTotals = { files: 0, chunks: 0, bytes: 0, badReplicas: 0, unreadable: 0 };
  const bar = new ProgressBar(context, { title: "verify", totalBytes: null });
  try {
    await forEachPath(context, commandArguments, {
      glob: options["glob"] !== false,
      task: async (path) => {
        for await (const result of fileSystem.verify(path.bytes, { allReplicas, signal })) {
          count(totals, result);
          bar.update(totals.bytes);
          await print(context, result);
        }
      },
    });
  } catch (error) {
    // Damage is the more serious result. The other failures were reported when they occurred.
    if (!(error instanceof PartialFailure) || !isDamaged(totals)) throw error;
  } finally {
    bar.end();
  }
  if (!output.options.json) {
    output.note(summaryOf(totals));
  }
  if (isDamaged(totals)) throw new DamageFound("Damage was found");
};

const isDamaged = ({ badReplicas, unreadable }: VerifyTotals): boolean =>
  badReplicas + unreadable > 0;

function summaryOf(totals: VerifyTotals): string {
  const files = formatCount(totals.files, "file");
  const chunks = formatCount(totals.chunks, "chunk");
  const badReplicas = formatCount(totals.badReplicas, "bad replica");
  const unreadable = formatCount(totals.unreadable, "unreadable file");
  const size = formatSize(totals.bytes, true);
  return `verified ${files}, ${chunks}, ${size}; ${badReplicas}, ${unreadable}`;
}

function count(totals: VerifyTotals, result: VerifyResult): void {
  if (result.kind === "chunk") {
    totals.chunks += 1;
    totals.bytes += result.lengthBytes;
    return;
  }
  totals.files += 1;
  // The masters hold the bytes of a small file. `ashlar status` counts them, too.
  if (result.chunkCount === 0) totals.bytes += result.sizeBytes;
  totals.badReplicas += result.badReplicaCount;
  if (!result.isReadable) totals.unreadable += 1;
}

async function print(context: CommandContext, result: VerifyResult): Promise<void> {
  const { output } = context;
  if (output.options.json) return output.json("ashlar.verify/1", jsonResult(result));
  const path = remotePath(result.pathBytes).text;
  if (result.kind === "chunk") {
    for (const replica of result.replicas.filter((each) => !each.isGood)) {
      await output.line(`${path}: chunk ${result.position}: ${describe(replica)}`);
    }
    return;
  }
  if (!result.isReadable) {
    await output.line(
      `${path}: DAMAGED${result.error === null ? "" : `: ${result.error.message}`}`,
    );
  } else if (output.options.verbosity > 0) {
    await output.line(`${path}: ${result.wasRemoved ? "removed during the verification" : "OK"}`);
  }
}

function describe(replica: ReplicaResult): string {
  const address = replica.address ?? "no replica";
  return `${address}: ${replica.error?.message ?? "bad"}`;
}

function jsonResult(result: VerifyResult): Record<string, unknown> {
  const path = jsonName("path", result.pathBytes);
  if (result.kind === "file") {
    return {
      kind: "file",
      ...path,
      size_bytes: result.sizeBytes,
      chunk_count: result.chunkCount,
      is_readable: result.isReadable,
      bad_replica_count: result.badReplicaCount,
      error: result.error?.message ?? null,
      was_removed: result.wasRemoved,
    };
  }
  return {
    kind: "chunk",
    ...path,
    position: result.position,
    chunk_id: result.chunkId,
    length_bytes: result.lengthBytes,
    copies_wanted: result.copiesWanted,
    is_readable: result.isReadable,
    replicas: result.replicas.map((replica) => ({
      server_id: replica.serverId,
      address: replica.address,
      is_good: replica.isGood,
      error: replica.error?.message ?? null,
    })),
  };
}
