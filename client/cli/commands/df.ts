import { formatCount, formatSize } from "../../../shared/display/format.ts";
import type { RunCommand } from "../command.ts";
import { formatTable } from "../table-view.ts";

export const run: RunCommand = async (context, _arguments, options) => {
  const { output, signal } = context;
  const fileSystem = await context.fileSystem();
  const { chunkservers, namespace } = await fileSystem.status({ signal });
  const live = chunkservers.filter((server) => server.state === "live");
  const sum = (key: "totalBytes" | "availableBytes" | "usedBytes"): number =>
    live.reduce((total, server) => total + server.space[key], 0);
  const total = {
    total_bytes: sum("totalBytes"),
    used_bytes: sum("usedBytes"),
    available_bytes: sum("availableBytes"),
  };
  if (output.options.json) {
    for (const { serverId, address, state, space } of chunkservers) {
      await output.json("ashlar.df/1", {
        server_id: serverId,
        address,
        state,
        total_bytes: space.totalBytes,
        used_bytes: space.usedBytes,
        available_bytes: space.availableBytes,
      });
    }
    await output.json("ashlar.df-total/1", {
      ...total,
      logical_bytes: namespace.logicalBytes,
      copies_to_delete: namespace.purgesPending,
    });
    return;
  }
  const isHuman = options["humanReadable"] === true;
  const rows = chunkservers.map(({ serverId, address, state, space }) => [
    serverId.slice(0, 8),
    state,
    formatSize(space.totalBytes, isHuman),
    formatSize(space.usedBytes, isHuman),
    formatSize(space.availableBytes, isHuman),
    address,
  ]);
  const totals = [total.total_bytes, total.used_bytes, total.available_bytes];
  rows.push(["total", "", ...totals.map((bytes) => formatSize(bytes, isHuman)), ""]);
  const headings = ["CHUNKSERVER", "STATE", "SIZE", "USED", "AVAILABLE", "ADDRESS"];
  await output.line(formatTable(headings, rows, ["SIZE", "USED", "AVAILABLE"]));
  await output.line("");
  const logical = formatSize(namespace.logicalBytes, isHuman);
  await output.line(`size of all files: ${logical}${isHuman ? "" : " bytes"}, without replication`);
  if (namespace.purgesPending > 0) {
    await output.line(
      `${formatCount(namespace.purgesPending, "replica")} of removed chunks still to be deleted`,
    );
  }
};
