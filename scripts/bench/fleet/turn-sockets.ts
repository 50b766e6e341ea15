import { connect } from "node:net";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import type { Period } from "./thread-times.ts";

/** Environment variable with the directory of the sockets of the turn monitors. */
export const TURN_SOCKETS = "ASHLAR_BENCH_TURN_SOCKETS";

/** The longest gaps in one phase, by each of the two times: not always the same gap. */
export type TurnReport = Period;

/** Returns the path of the socket of a process with a turn monitor. */
export function turnSocket(directory: string, pid: number): string {
  return join(directory, `${pid}.turns`);
}

/** Returns the longest gaps of a process since the last call. */
export async function readTurns(directory: string, pid: number): Promise<TurnReport> {
  return JSON.parse(await text(connect(turnSocket(directory, pid)))) as TurnReport;
}
