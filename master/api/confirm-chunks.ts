import type { ChunkId, LogIndex, ServerId } from "../../shared/base/ids.ts";
import type { Namespace } from "../namespace/namespace.ts";
import { isBeforeRestore } from "../namespace/restored-state.ts";
import type { MasterDeps } from "./leader-context.ts";

/** Chunks in one part of the work: a few milliseconds. */
const VERDICTS_PER_PART = 200;

/** The answer for one copy in `confirm-chunks`. */
type ConfirmVerdict = "known" | "unknown" | "undecided";

interface SealedCopy {
  readonly chunkId: ChunkId;
  readonly intentIndex: LogIndex;
}

/**
 * Returns the verdict for each copy. Decides on a bounded number in one part of the work
 * (docs/decisions/0014).
 *
 * The verdicts of different parts may come from different states. That is as safe as one state: a verdict concerns
 * one chunk, and the server acts on it later anyway. So `unknown` must hold in all later states, and it does,
 * because the intent floor never falls.
 *
 * @param confirm confirms the leadership and returns the state, in a turn of the call. Called for each part,
 *   because only a leader orders copies
 * @throws {AshlarError} that of `confirm`
 */
export async function verdictsOf(
  { repair }: Pick<MasterDeps, "repair">,
  { serverId, copies }: { readonly serverId: ServerId; readonly copies: readonly SealedCopy[] },
  confirm: () => Promise<Namespace>,
): Promise<ConfirmVerdict[]> {
  const verdicts: ConfirmVerdict[] = [];
  do {
    const namespace = await confirm();
    for (const copy of copies.slice(verdicts.length, verdicts.length + VERDICTS_PER_PART)) {
      verdicts.push(verdictOf({ repair, namespace }, serverId, copy));
    }
  } while (verdicts.length < copies.length);
  return verdicts;
}

/**
 * Returns whether the server keeps the copy (`known`), deletes it (`unknown`), or asks again later
 * (`undecided`). `unknown` requires an intent below the intent floor: no commit under such an intent
 * can succeed (docs/decisions/0002). A copy of a chunk that files refer to is deleted only if enough
 * recorded copies are on live servers; otherwise it is adopted.
 *
 * No copy from before a restore is deleted (docs/decisions/0010). If files refer to its chunk, a
 * recorded copy may have been lost after the backup, so the server asks again. If none does, a newer
 * backup may.
 */
function verdictOf(
  { repair, namespace }: { readonly repair: MasterDeps["repair"]; readonly namespace: Namespace },
  serverId: ServerId,
  copy: SealedCopy,
): ConfirmVerdict {
  const replicas = namespace.chunk(copy.chunkId)?.replicas ?? [];
  if (replicas.some((replica) => replica.serverId === serverId)) return "known";
  if (copy.intentIndex >= namespace.intentFloor()) return "undecided";
  if (repair.adoptCopy(namespace, serverId, copy.chunkId)) return "undecided";
  if (!isBeforeRestore(copy.intentIndex, namespace)) return "unknown";
  return namespace.chunk(copy.chunkId) === undefined ? "known" : "undecided";
}
