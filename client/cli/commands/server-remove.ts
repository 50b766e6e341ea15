import { AshlarError } from "../../../shared/base/errors.ts";
import type { ClusterStatus } from "../../../shared/protocol/fleet-api.ts";
import { serverLabel } from "../../../shared/protocol/intent.ts";
import type { RunCommand } from "../command.ts";
import { confirm } from "../confirm.ts";

type Server = ClusterStatus["chunkservers"][number];

const FULL_ID = /^[0-9a-f]{32}$/;

export const run: RunCommand = async (context, [text = ""], options) => {
  const { output, signal } = context;
  const fileSystem = await context.fileSystem();
  const { chunkservers } = await fileSystem.status({ signal });
  const server = findServer(chunkservers, text);
  const label = server === null ? `chunkserver ${text}` : serverLabel(server);
  const question = `Remove ${label} for ever? Its data directory cannot join again`;
  if (server !== null && options["yes"] !== true && !(await confirm(context, question))) {
    output.note("nothing was changed");
    return;
  }
  const serverId = server?.serverId ?? text;
  await fileSystem.removeServer(serverId, { signal, force: options["force"] === true });
  if (output.options.json) {
    await output.json("ashlar.server-remove/1", {
      server_id: serverId,
      address: server?.address ?? null,
    });
  } else output.note(server === null ? `${label} was removed before` : `removed ${label}`);
};

/**
 * Returns the chunkserver with this id, beginning of an id, or address. Null for a full id that the
 * status does not contain: the server may have been removed.
 */
function findServer(servers: readonly Server[], text: string): Server | null {
  const found = servers.filter(
    ({ serverId, address }) => address === text || (text.length >= 4 && serverId.startsWith(text)),
  );
  const [server] = found;
  if (server !== undefined && found.length === 1) return server;
  if (found.length === 0 && FULL_ID.test(text)) return null;
  const reason =
    found.length > 1
      ? `it matches ${found.map((each) => `${each.serverId} (${each.address})`).join(", ")}`
      : "expected an address, or at least 4 digits of an id";
  throw new AshlarError("NOT_FOUND", `No such chunkserver: ${text}: ${reason}`, {
    hint: "ashlar status lists the chunkservers",
  });
}
