import * as v from "valibot";
import { areSameMembers, type MemberId } from "../../shared/base/ids.ts";
import { memberIdSchema } from "../../shared/protocol/schemas.ts";
import { readChecksummedJson, writeChecksummedJson } from "./checksummed-json.ts";
import type { IdentityDeps } from "./identity.ts";

const FOUNDERS_PATH = "founders.json";
const foundersSchema = v.strictObject({
  format: v.literal(1),
  founders: v.array(memberIdSchema),
});

/**
 * Returns the members before the first entry of the log. A member with an empty log takes them from
 * its config, at each start. A member with a log keeps those with which the log began, and changes
 * of the config have no effect. Empty for a member that joined: it receives the membership with a
 * snapshot. The file is durable when the promise resolves.
 *
 * @throws {AshlarError} LOG_CORRUPT if the file is damaged; DISK_FAILED; NO_SPACE.
 */
export async function openFounders(
  deps: IdentityDeps,
  {
    configured,
    hasVotedOrEntries,
  }: { readonly configured: readonly MemberId[]; readonly hasVotedOrEntries: boolean },
): Promise<readonly MemberId[]> {
  const found = await readChecksummedJson(deps, FOUNDERS_PATH, foundersSchema);
  const isCurrent = found !== null && areSameMembers(found.founders, configured);
  if (found !== null && (hasVotedOrEntries || isCurrent)) return found.founders;
  await writeChecksummedJson(deps, FOUNDERS_PATH, { format: 1, founders: configured });
  return configured;
}
