import { AssertionError } from "node:assert";
import { prefixEnd, TABLE_BYTE, textToBytes } from "../../../master/namespace/keys.ts";
import type { OrderedReader } from "../../../shared/ports/ordered-store.ts";
import { checkInvariants } from "../../master/namespace/invariants.ts";
import type { SimulatedMaster } from "./simulated-servers.ts";
import { Violation } from "./violation.ts";

/** Returns the largest number of unfinished uploads in the flushed state of a master. */
export function countStaged(masters: readonly SimulatedMaster[]): number {
  const range = {
    start: textToBytes(TABLE_BYTE.staged),
    end: textToBytes(prefixEnd(TABLE_BYTE.staged)),
  };
  return Math.max(...masters.map((master) => [...stateOf(master).range(range)].length));
}

/**
 * Recomputes the redundant data in the flushed states of all masters, such as the reference count of
 * each chunk.
 *
 * @throws {Violation} if the data of a state differs
 */
export function checkStates(masters: readonly SimulatedMaster[]): void {
  for (const master of masters) {
    try {
      checkInvariants(stateOf(master));
    } catch (error) {
      if (!(error instanceof AssertionError)) throw error;
      const text = `The state of ${master.host} is inconsistent: ${error.message}`;
      throw new Violation(text, [master.host], { cause: error });
    }
  }
}

/** Returns the rows of the state that a running master has flushed, as they were written. */
function stateOf({ host, running, stores }: SimulatedMaster): OrderedReader {
  const store = running === null ? undefined : stores.lastOpened(running.stateName());
  if (store === undefined) throw new Violation(`${host} is not running`, [host]);
  return store.rowsAsWritten;
}
