import { createServer, type Server } from "node:net";
import { AshlarError } from "../../../shared/base/errors.ts";
import { errnoWords } from "../../../shared/platform/errno-words.ts";

const HOST = "127.0.0.1";
const PORT_MAX = 65_535;

/**
 * Returns `count` free addresses on the loopback: consecutive ports from `basePort`, or any free
 * ports for 0. All of them are listened on at the same time, so no port is returned twice. Another
 * process can take a port after the return.
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
      const server = createServer();
      servers.push(server);
      addresses.push(await listen(server, basePort === 0 ? 0 : basePort + index));
    }
    return addresses;
  } finally {
    await Promise.all(servers.map(close));
  }
}

function listen(server: Server, port: number): Promise<string> {
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
      resolve(`${HOST}:${taken}`);
    });
  });
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => {
    if (server.listening) server.close(() => resolve());
    else resolve();
  });
}
