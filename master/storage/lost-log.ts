import * as v from "valibot";
import { AshlarError } from "../../shared/base/errors.ts";
import { REPLACE_HINT } from "../lost-entries.ts";
import { readChecksummedJson, writeChecksummedJson } from "./checksummed-json.ts";
import type { IdentityDeps } from "./identity.ts";

const PATH = "lost-log.json";
const schema = v.strictObject({ format: v.literal(1), reason: v.string() });

type LostLogDeps = Pick<IdentityDeps, "disk" | "hasher">;

/**
 * Records that this member has lost entries that it had acknowledged: it never starts with this directory
 * again. A message of the leader has shown it, and the log itself does not show it. Durable when it resolves.
 */
export async function recordLostLog(deps: LostLogDeps, reason: string): Promise<void> {
  await writeChecksummedJson(deps, PATH, { format: 1, reason });
}

/** @throws {AshlarError} LOG_CORRUPT if this member has lost entries; DISK_FAILED */
export async function refuseLostLog(deps: LostLogDeps): Promise<void> {
  const found = await readChecksummedJson(deps, PATH, schema);
  if (found === null) return;
  throw new AshlarError("LOG_CORRUPT", `${found.reason} (recorded in ${PATH})`, {
    details: { path: PATH },
    hint: REPLACE_HINT,
  });
}
