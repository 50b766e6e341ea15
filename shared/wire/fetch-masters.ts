import { memberStatus } from "../protocol/fleet-api.ts";
import type { Connection } from "./rpc.ts";

/** Where all masters are, as far as the one at the other end of `connection` knows. */
export async function fetchMasters(
  connection: Connection,
  timeoutMs: number,
): Promise<readonly string[]> {
  const reply = await connection.call(memberStatus, {}, { timeoutMs });
  reply.release();
  return reply.head.masters;
}
