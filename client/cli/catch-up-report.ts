import type { MastersStatus } from "../../shared/protocol/masters-api.ts";
import type { MasterAddress } from "../masters/membership.ts";
import type { Output } from "./output.ts";

/** Says how far new masters have come: a line whenever there is news. */
export class CatchUpReport {
  readonly #output: Output;
  readonly #added: readonly MasterAddress[];
  readonly #told = new Map<number, string>();

  constructor(output: Output, added: readonly MasterAddress[]) {
    this.#output = output;
    this.#added = added;
  }

  update(status: MastersStatus): void {
    if (this.#output.options.json) return;
    for (const { memberId } of this.#added) {
      const text = describe(status, memberId);
      if (text === null || this.#told.get(memberId) === text) continue;
      this.#told.set(memberId, text);
      this.#output.note(`master ${memberId} ${text}`);
    }
  }
}

function describe({ masters, lastIndex }: MastersStatus, memberId: number): string | null {
  const progress = masters.find((master) => master.memberId === memberId)?.progress ?? null;
  if (progress === null) return null;
  if (!progress.isActive) return "does not answer";
  if (progress.state === "snapshot") return "is being sent the state";
  if (progress.matchIndex === 0) return "waits for the state";
  const behind = lastIndex - progress.matchIndex;
  return behind === 0 ? "has caught up" : `is ${behind} entries behind`;
}
