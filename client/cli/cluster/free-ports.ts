import { createServer, type Server } from "node:net";
import { AshlarError } from "../../../shared/base/errors.ts";

const HOST = "127.0.0.1";

/**
 * `count` addresses on the loopback: consecutive ports from `basePort`, or any free ones for 0.
 * They are probed by listening on all of them at once, so that none is handed out twice.
 *
 * @throws {AshlarError} ADDRESS_IN_USE naming the first port that is taken
 */
export async function freeAddresses(basePort: number, count: number): Promise<string[]> {
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
        new AshlarError("ADDRESS_IN_USE", `Cannot use port ${port} on ${HOST}: ${error.code}`, {
          hint: "Choose other ports with --base-port P, or --base-port 0 for any that are free",
          cause: error,
        }),
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
