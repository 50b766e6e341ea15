import { memberStatus } from "../protocol/fleet-api.ts";
import type { Connection } from "./rpc.ts";

/**
 * Returns the addresses of all masters, as known to the master at the other end of `connection`.
 */
export async function fetchMasters(
  connection: Connection,
  timeoutMs: number,
): Promise<readonly string[]> {
  const reply = await connection.call(memberStatus, {}, { timeoutMs });
  reply.release();
  return reply.head.masters;
}
