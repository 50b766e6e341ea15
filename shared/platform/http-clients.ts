import type { Server } from "node:http";
import { isIPv6, type Socket } from "node:net";
import { SystemClock } from "./system-clock.ts";

/** Connections beyond the limit that are open while their refusal is sent. */
const REFUSALS_MAX = 64;
const REFUSAL_MS_MAX = 1_000;

/**
 * Returns the client of a connection, which limits apply to: its IPv4 address, or the first 64 bits
 * of its IPv6 address, because one machine can use all addresses of such a network.
 */
export function clientOf(remoteAddress: string | undefined): string {
  const address = (remoteAddress ?? "").replace(/^::ffff:(?=\d+\.)/i, "");
  if (!isIPv6(address)) return address;
  const [head = "", tail] = address.replace(/%.*$/, "").split("::");
  const groups = head === "" ? [] : head.split(":");
  const tailCount = tail === undefined || tail === "" ? 0 : tail.split(":").length;
  while (tail !== undefined && groups.length < 8 - tailCount) groups.push("0");
  const all = [...groups, ...(tail === undefined || tail === "" ? [] : tail.split(":"))];
  return `${all.slice(0, 4).join(":")}::/64`;
}

/**
 * Bounds the open connections of a server, in total and for each client. A connection beyond a limit
 * receives status 503 or 429 with Retry-After, and is closed.
 */
export function limitConnections(
  server: Server,
  { max, perClientMax }: { readonly max: number; readonly perClientMax: number },
): void {
  let count = 0;
  const countByClient = new Map<string, number>();
  server.maxConnections = max + REFUSALS_MAX;
  const accept = server.listeners("connection");
  server.removeAllListeners("connection");
  server.on("connection", (socket: Socket) => {
    const client = clientOf(socket.remoteAddress);
    const ownCount = (countByClient.get(client) ?? 0) + 1;
    count += 1;
    countByClient.set(client, ownCount);
    socket.once("close", () => {
      count -= 1;
      const remaining = (countByClient.get(client) ?? 1) - 1;
      if (remaining === 0) countByClient.delete(client);
      else countByClient.set(client, remaining);
    });
    if (ownCount > perClientMax) refuse(socket, "429 Too Many Requests");
    else if (count > max) refuse(socket, "503 Service Unavailable");
    else for (const listener of accept) listener.call(server, socket);
  });
}

function refuse(socket: Socket, status: string): void {
  const message = `Cannot accept another connection: ${status.slice(4).toLowerCase()}`;
  const body = JSON.stringify({ error: { code: "OVERLOADED", message, retry: "safe" } });
  const head = `HTTP/1.1 ${status}\r\nRetry-After: 1\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n`;
  socket.on("error", () => {});
  const cut = new SystemClock().after(REFUSAL_MS_MAX, () => socket.destroy());
  socket.once("close", () => cut.cancel());
  socket.resume();
  socket.end(head + body);
}
