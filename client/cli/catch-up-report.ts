import { formatCount } from "../../shared/display/format.ts";
import type { MastersStatus } from "../../shared/protocol/masters-api.ts";
import type { MasterAddress } from "../masters/membership.ts";
import type { Output } from "./output.ts";

/** Prints the progress of new masters. A line is printed when the text of a master changes. */
export class CatchUpReport {
  readonly #output: Output;
  readonly #added: readonly MasterAddress[];
  /** Last printed text by member id. */
  readonly #printed = new Map<number, string>();

  constructor(output: Output, added: readonly MasterAddress[]) {
    this.#output = output;
    this.#added = added;
  }

  /** Call it with each new status. */
  update(status: MastersStatus): void {
    if (this.#output.options.json) return;
    for (const { memberId } of this.#added) {
      const text = describe(status, memberId);
      if (text === null || this.#printed.get(memberId) === text) continue;
      this.#printed.set(memberId, text);
      this.#output.note(`master ${memberId} ${text}`);
    }
  }
}

/** Returns the text for one master; null if the status has no progress of it. */
function describe({ masters, lastIndex }: MastersStatus, memberId: number): string | null {
  const progress = masters.find((master) => master.memberId === memberId)?.progress ?? null;
  if (progress === null) return null;
  if (!progress.isActive) return "does not respond";
  if (progress.state === "snapshot") return "is receiving the state";
  if (progress.matchIndex === 0) return "is waiting for the state";
  const behind = lastIndex - progress.matchIndex;
  return behind === 0 ? "has caught up" : `is ${formatCount(behind, "entry", "entries")} behind`;
}
