import { formatCount, formatSize, formatTime } from "../../../shared/display/format.ts";
import type { ClusterStatus } from "../../../shared/protocol/fleet-api.ts";
import type { CommandContext, RunCommand } from "../command.ts";
import { Degraded } from "../exit-status.ts";
import { printUnserved } from "../masters-report.ts";
import { formatTable } from "../table-view.ts";

export const run: RunCommand = async (context, _arguments, options) => {
  const { output, signal } = context;
  let status: ClusterStatus;
  try {
    const fileSystem = await context.fileSystem();
    status = await fileSystem.status({ signal });
  } catch (error) {
    if (!(await printUnserved(output, error))) throw error;
    throw new Degraded();
  }
  if (output.options.json) await output.json("ashlar.status/1", jsonStatus(status));
  else await output.line(describe(context, status, options["humanReadable"] === true));
  if (status.health.word !== "ok") throw new Degraded();
};

const COLORS = { ok: "green", degraded: "yellow", critical: "red" } as const;

function describe(context: CommandContext, status: ClusterStatus, isHuman: boolean): string {
  const { word, reasons } = status.health;
  const lines = [
    `cluster ${status.clusterId}: ${context.output.paint([COLORS[word], "bold"], word)}`,
    ...reasons.map((reason) => `  ${reason}`),
    "",
    formatTable(
      ["MASTER", "ROLE", "TERM", "LAST", "COMMITTED", "APPLIED", "ADDRESS"],
      status.masters.map((master) => [
        String(master.memberId),
        master.role,
        ...(master.role === "unreachable"
          ? ["-", "-", "-", "-"]
          : [master.term, master.lastIndex, master.committedIndex, master.appliedIndex].map(
              String,
            )),
        master.address,
      ]),
      ["TERM", "LAST", "COMMITTED", "APPLIED"],
    ),
    "",
    formatTable(
      ["CHUNKSERVER", "STATE", "RACK", "USED", "AVAILABLE", "CHUNKS", "HEARD", "ADDRESS"],
      status.chunkservers.map((server) => [
        server.serverId.slice(0, 8),
        server.isDiskFailed ? `${server.state}, disk failed` : server.state,
        server.rack,
        formatSize(server.space.usedBytes, isHuman),
        formatSize(server.space.availableBytes, isHuman),
        String(server.chunkCount),
        server.lastHeardMsAgo === null
          ? "never"
          : `${(server.lastHeardMsAgo / 1000).toFixed(1)}s ago`,
        server.address,
      ]),
      ["USED", "AVAILABLE", "CHUNKS", "HEARD"],
    ),
    "",
    namespaceLine(status, isHuman),
    historyLine(status),
  ];
  return lines.join("\n");
}

function namespaceLine({ namespace }: ClusterStatus, isHuman: boolean): string {
  const { fileCount, directoryCount, chunkCount, logicalBytes } = namespace;
  const parts = [
    formatCount(fileCount, "file"),
    formatCount(directoryCount, "directory", "directories"),
    formatCount(chunkCount, "chunk"),
    isHuman ? formatSize(logicalBytes, true) : formatCount(logicalBytes, "byte"),
  ];
  return parts.join(", ");
}

function historyLine({ history }: ClusterStatus): string {
  const { versions, versionsMax, oldestIndex, oldestTimeMs } = history;
  return `history: ${formatCount(versions, "old version")} (at most ${versionsMax}), back to index ${oldestIndex}, ${formatTime(oldestTimeMs)}`;
}

function jsonStatus(status: ClusterStatus): Record<string, unknown> {
  const { namespace, history } = status;
  return {
    cluster_id: status.clusterId,
    index: status.index,
    health: {
      word: status.health.word,
      reasons: status.health.reasons,
      is_full: status.health.isFull,
    },
    masters: status.masters.map((master) => ({
      member_id: master.memberId,
      address: master.address,
      role: master.role,
      term: master.term,
      last_index: master.lastIndex,
      committed_index: master.committedIndex,
      applied_index: master.appliedIndex,
    })),
    chunkservers: status.chunkservers.map((server) => ({
      server_id: server.serverId,
      address: server.address,
      host: server.host,
      rack: server.rack,
      state: server.state,
      is_disk_failed: server.isDiskFailed,
      total_bytes: server.space.totalBytes,
      available_bytes: server.space.availableBytes,
      used_bytes: server.space.usedBytes,
      chunk_count: server.chunkCount,
      last_heard_ms_ago: server.lastHeardMsAgo,
    })),
    namespace: {
      file_count: namespace.fileCount,
      directory_count: namespace.directoryCount,
      chunk_count: namespace.chunkCount,
      logical_bytes: namespace.logicalBytes,
      chunks_under_replicated: namespace.chunksUnderReplicated,
      chunks_lost: namespace.chunksLost,
      purges_pending: namespace.purgesPending,
    },
    history: {
      versions: history.versions,
      versions_max: history.versionsMax,
      retention_ms: history.retentionMs,
      oldest_index: history.oldestIndex,
      oldest_time: formatTime(history.oldestTimeMs),
    },
  };
}
