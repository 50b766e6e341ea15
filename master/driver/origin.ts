import { toHex } from "../../shared/base/bytes.ts";
import { AshlarError } from "../../shared/base/errors.ts";
import type { MemberId } from "../../shared/base/ids.ts";
import type { StateMachine } from "../state-machine.ts";

/**
 * The history that a state belongs to, as members show it to each other: "" for a cluster that was never restored
 * from a backup, else the id of the last restore, "/", and what identifies the backup. Members of one group have
 * the same one (docs/decisions/0010). Undefined without a state, and from a version that does not know it.
 */
export type Origin = string | undefined;

/** Returns the origin of a state. */
export function originOf({ appliedIndex, restored }: StateMachine): Origin {
  if (restored !== undefined) return `${restored.restoreId}/${toHex(restored.backup)}`;
  return appliedIndex === 0 ? undefined : "";
}

/**
 * Checks that a peer has a state of the same history, as far as both have one.
 *
 * @throws {AshlarError} WRONG_IDENTITY
 */
export function checkOrigin(own: Origin, peer: MemberId, shown: Origin): void {
  if (own === undefined || shown === undefined || own === shown) return;
  throw new AshlarError(
    "WRONG_IDENTITY",
    `Cannot accept member ${peer}: expected a state that ${restoreOf(own)}: its state ${restoreOf(shown)}`,
    {
      hint: `Never start a master from before a restore. ${hintFor(own)}, or replace it: ashlar master remove, then ashlar master add`,
    },
  );
}

/** Returns why a founder with this origin founds no group with this member, or null. */
export function originProblem(own: Origin, shown: Origin): string | null {
  if (own === shown) return null;
  if (shown === undefined) return `has an empty directory. ${hintFor(own)}`;
  if (own === undefined) return `${restoreOf(shown)}, this master is empty. ${hintFor(shown)}`;
  return `${restoreOf(shown)}, this master ${restoreOf(own)}`;
}

const restoreOf = (origin: string): string => {
  const [restoreId, backup] = origin.split("/");
  if (origin === "") return "was not restored from a backup";
  return `was restored from a backup (${backup?.slice(0, 8)}) with the id ${restoreId}`;
};

const hintFor = (origin: Origin): string =>
  `Restore the same backup on it with --restore-id ${origin?.split("/")[0]}`;
