import { createServer, type Server } from "node:net";
import { AshlarError } from "../../../shared/base/errors.ts";
import { errnoWords } from "../../../shared/platform/errno-words.ts";
import { readFirstEphemeralPort } from "../../../shared/platform/procfs.ts";

const HOST = "127.0.0.1";
const PORT_MAX = 65_535;
const FIRST_CHOSEN_PORT = 10_000;
/** Processes with pids up to 300 apart begin at ports that differ. */
const PORTS_BETWEEN_PIDS = 71;

/** The port after the last one that this process has chosen; null before the first. */
let nextChosenPort: number | null = null;

/**
 * Returns `count` free addresses on the loopback: consecutive ports from `basePort`, or any free
 * ports for 0. All of them are listened on at the same time, so no port is returned twice.
 *
 * Chosen ports lie below those that the kernel gives to outgoing connections: a connection cannot
 * take one before its server listens, or while its server is stopped. A process chooses each port
 * once, and processes begin at different ports. A server of another program can take a port after
 * the return.
 *
 * @throws {AshlarError} INVALID_ARGUMENT if there are not so many ports; ADDRESS_IN_USE with the first port that is not free
 */
export async function freeAddresses(basePort: number, count: number): Promise<string[]> {
  if (basePort + count - 1 > PORT_MAX) {
    throw new AshlarError(
      "INVALID_ARGUMENT",
      `Cannot use --base-port: expected at most ${PORT_MAX - count + 1}, for ${count} ports: current value is "${basePort}"`,
    );
  }
  const servers: Server[] = [];
  try {
    const addresses: string[] = [];
    for (let index = 0; index < count; index += 1) {
      const { server, port } = basePort === 0 ? await chosenPort() : await listen(basePort + index);
      servers.push(server);
      addresses.push(`${HOST}:${port}`);
    }
    return addresses;
  } finally {
    await Promise.all(servers.map(close));
  }
}

interface ListeningServer {
  readonly server: Server;
  readonly port: number;
}

/** Listens on a free port below the ephemeral ones; on an ephemeral one if there is no other. */
async function chosenPort(): Promise<ListeningServer> {
  const portCount = readFirstEphemeralPort() - FIRST_CHOSEN_PORT;
  for (let attempt = 0; attempt < portCount; attempt += 1) {
    const offset = (nextChosenPort ?? process.pid * PORTS_BETWEEN_PIDS) % portCount;
    nextChosenPort = offset + 1;
    try {
      return await listen(FIRST_CHOSEN_PORT + offset);
    } catch (error) {
      if (!(error instanceof AshlarError && error.code === "ADDRESS_IN_USE")) throw error;
    }
  }
  return listen(0);
}

/** @param port 0 for one that the kernel chooses */
function listen(port: number): Promise<ListeningServer> {
  const server = createServer();
  return new Promise((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => {
      reject(
        new AshlarError(
          "ADDRESS_IN_USE",
          `Cannot listen on ${HOST}:${port}: ${errnoWords(error.code ?? "unknown")}`,
          {
            hint: "Choose other ports with --base-port PORT, or any free ports with --base-port 0",
            cause: error,
          },
        ),
      );
    });
    server.listen(port, HOST, () => {
      const address = server.address();
      const taken = typeof address === "object" && address !== null ? address.port : port;
      resolve({ server, port: taken });
    });
  });
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => {
    if (server.listening) server.close(() => resolve());
    else resolve();
  });
}
