import * as v from "valibot";

/*
 * A capability is the name of what a chunkserver can do and servers of older versions cannot. A
 * chunkserver states its capabilities when it registers: it has others after an update, or after
 * a return to an older version, and both restart it. They are soft state of the leader, so no
 * feature level is needed. Masters and clients compare names only. A name that they do not know has
 * no effect.
 */

/**
 * The capabilities of this version. Version 0.1.0 states none.
 *
 * - `lost-intents`: reports of lost replicas have their intent, so a late one removes no newer copy
 * - `restore-confirmations`: asks about all its chunks after a restore of the masters, so copies that
 *   were made after the backup are adopted
 */
export const CAPABILITIES = ["lost-intents", "restore-confirmations"] as const;

const CAPABILITIES_MAX = 64;
const CAPABILITY_LENGTH_MAX = 32;

/** Names of capabilities, in any order. */
export const capabilitiesSchema = v.pipe(
  v.array(v.pipe(v.string(), v.minLength(1), v.maxLength(CAPABILITY_LENGTH_MAX))),
  v.maxLength(CAPABILITIES_MAX),
);
