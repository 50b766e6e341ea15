import * as v from "valibot";
import { defineStream } from "./method.ts";
import { BY_OPERATORS } from "./roles.ts";
import {
  bytesSchema,
  clusterIdSchema,
  countSchema,
  digestSchema,
  logIndexSchema,
  termSchema,
} from "./schemas.ts";

/** The head of a backup. */
export const backupHeadSchema = v.object({
  clusterId: clusterIdSchema,
  /**
   * Log index of the state. It includes every change that was acknowledged before the request for
   * the backup.
   */
  index: logIndexSchema,
  term: termSchema,
  /** Wall clock of the master, in milliseconds since the Unix epoch. */
  createdMs: countSchema,
  /**
   * Feature level of the cluster. A program that supports only a lower level cannot use the backup.
   */
  featureLevel: countSchema,
  /** `StateHash` of the rows. */
  stateHash: bytesSchema(16),
});
export type BackupHead = v.InferOutput<typeof backupHeadSchema>;

/**
 * Sends the whole replicated state at one index, from any master. The body of a part is a result of
 * `encodePairs`; rows are in the order of keys. The digest at the end covers all bodies.
 */
export const readBackup = defineStream("fleet.backup", BY_OPERATORS, {
  open: v.object({}),
  up: v.object({}),
  down: v.variant("kind", [
    v.object({ kind: v.literal("begin"), head: backupHeadSchema }),
    v.object({ kind: v.literal("part"), entryCount: countSchema }),
    v.object({ kind: v.literal("end"), entryCount: countSchema, digest: digestSchema }),
  ]),
});
/** Message of `fleet.backup` from the master. */
export type BackupMessage = ReturnType<(typeof readBackup)["parseDown"]>;
