import { formatCount, formatSize } from "../../../shared/display/format.ts";
import type { ClusterStatus } from "../../../shared/protocol/fleet-api.ts";
import { type ClusterSpace, historySpaceText, spaceOf } from "../cluster-space.ts";
import type { CommandContext, RunCommand } from "../command.ts";
import { NodeNames } from "../node-names.ts";
import type { Output } from "../output.ts";
import { paintedServer, serverState, withNodes } from "../status-view.ts";
import { type Column, formatTable } from "../table-view.ts";

const COLUMNS: readonly Column[] = [
  { heading: "CHUNKSERVER", dropRank: 2 },
  { heading: "STATE" },
  { heading: "SIZE", isRight: true },
  { heading: "USED", isRight: true },
  { heading: "AVAILABLE", isRight: true },
  { heading: "ADDRESS", dropRank: 1 },
];

export const run: RunCommand = async (context, _arguments, options) => {
  const { output, signal } = context;
  const fileSystem = await context.fileSystem();
  const status = await fileSystem.status({ signal });
  const space = spaceOf(status);
  if (output.options.json) return printJson(context, status, space);
  const isHuman = options["humanReadable"] === true || output.isTerminal;
  const names = await NodeNames.of(context);
  const size = (bytes: number): string => formatSize(bytes, isHuman);
  await output.line(tableOf(status, { space, names, size, output }));
  await output.line("");
  const { purgesPending, logicalBytes, stagedBytes } = status.namespace;
  const unit = isHuman ? "" : " bytes";
  await output.line(`size of all files: ${size(logicalBytes)}${unit}, without replication`);
  if (stagedBytes > 0) {
    const staged = `${size(stagedBytes)}${unit}`;
    await output.line(`size of all unfinished uploads: ${staged}, without replication`);
  }
  if (space.usableBytes !== null) {
    const copies = formatCount(status.defaultCopies ?? 1, "copy", "copies");
    await output.line(
      `space for new files: ${size(space.usableBytes)}${unit}, with ${copies} of each`,
    );
  }
  for (const servers of space.sharedDisks) {
    const shared = names
      .inOrder(servers)
      .map(({ address, serverId }) => names.find(address) ?? serverId.slice(0, 8));
    await output.line(`one disk, counted once in the total: ${shared.join(", ")}`);
  }
  const held = historySpaceText(status);
  if (held !== null) await output.line(held);
  if (purgesPending > 0) {
    await output.line(
      `${formatCount(purgesPending, "replica")} of removed chunks still to be deleted`,
    );
  }
};

function tableOf(
  { chunkservers }: ClusterStatus,
  view: {
    readonly space: ClusterSpace;
    readonly names: NodeNames;
    readonly size: (bytes: number) => string;
    readonly output: Output;
  },
): string {
  const { space, names, size, output } = view;
  const { columns, cell } = withNodes(COLUMNS, names);
  const rows = names
    .inOrder(chunkservers)
    .map((server) =>
      paintedServer(output, server, [
        ...cell(server.address),
        server.serverId.slice(0, 8),
        serverState(server),
        size(server.space.totalBytes),
        size(server.space.usedBytes),
        size(server.space.availableBytes),
        server.address,
      ]),
    );
  const totals = [space.totalBytes, space.usedBytes, space.availableBytes].map(size);
  const label = names.isEmpty ? ["total"] : ["total", ""];
  return formatTable(columns, [...rows, [...label, "", ...totals, ""]], output.columns);
}

async function printJson(
  { output }: CommandContext,
  { chunkservers, namespace, defaultCopies }: ClusterStatus,
  total: ClusterSpace,
): Promise<void> {
  for (const { serverId, address, state, space } of chunkservers) {
    await output.json("ashlar.df/1", {
      server_id: serverId,
      address,
      state,
      total_bytes: space.totalBytes,
      used_bytes: space.usedBytes,
      available_bytes: space.availableBytes,
      disk_id: space.diskId ?? null,
    });
  }
  await output.json("ashlar.df-total/1", {
    total_bytes: total.totalBytes,
    used_bytes: total.usedBytes,
    available_bytes: total.availableBytes,
    usable_bytes: total.usableBytes,
    history_bytes: total.historyBytes,
    default_copies: defaultCopies ?? null,
    logical_bytes: namespace.logicalBytes,
    staged_bytes: namespace.stagedBytes,
    copies_to_delete: namespace.purgesPending,
  });
}
