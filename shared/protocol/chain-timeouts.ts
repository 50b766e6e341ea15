import { CHAIN_SERVERS_MAX } from "./intent.ts";

/**
 * Timeouts of a seal. No message arrives while a server syncs the chunk, which a busy disk delays.
 *
 * Invariant: the timeout of each server for the next one is above that of the next one for its next, and that of the
 * writer is above all of them. So the server directly before a stalled one ends the write first and names it.
 */

/** Timeout of the last but one server of a chain, without the addition for the last one. */
const SEAL_TIMEOUT_MS = 40_000;
const SEAL_TIMEOUT_MS_PER_SERVER = 2_000;
/** Timeout of the writer for the seal of the whole chain. */
export const WRITER_SEAL_TIMEOUT_MS = 60_000;

/** Returns the timeout of a server for the seal of the next one. @param serversAfter 1 to CHAIN_SERVERS_MAX - 1 */
export function sealTimeoutMsOf(serversAfter: number): number {
  const counted = Math.min(serversAfter, CHAIN_SERVERS_MAX - 1);
  return SEAL_TIMEOUT_MS + SEAL_TIMEOUT_MS_PER_SERVER * counted;
}
