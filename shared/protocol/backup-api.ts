import * as v from "valibot";
import { defineStream } from "./method.ts";
import {
  bytesSchema,
  clusterIdSchema,
  countSchema,
  digestSchema,
  logIndexSchema,
  termSchema,
} from "./schemas.ts";

/** What a backup says of itself. */
export const backupHeadSchema = v.object({
  clusterId: clusterIdSchema,
  /** Everything that was acknowledged before the backup was asked for, and nothing after this. */
  index: logIndexSchema,
  term: termSchema,
  /** Wall clock of the master, in milliseconds since the Unix epoch. */
  createdMs: countSchema,
  /** A program that supports a lower one cannot use the backup. */
  featureLevel: countSchema,
  /** `StateHash` of the rows. */
  stateHash: bytesSchema(16),
});
export type BackupHead = v.InferOutput<typeof backupHeadSchema>;

/**
 * The whole replicated state at one index, from any master. Bodies of parts: `encodePairs`, in the
 * order of keys. The digest at the end is that of all bodies.
 */
export const readBackup = defineStream("fleet.backup", {
  open: v.object({}),
  up: v.object({}),
  down: v.variant("kind", [
    v.object({ kind: v.literal("begin"), head: backupHeadSchema }),
    v.object({ kind: v.literal("part"), entryCount: countSchema }),
    v.object({ kind: v.literal("end"), entryCount: countSchema, digest: digestSchema }),
  ]),
});
export type BackupMessage = ReturnType<(typeof readBackup)["parseDown"]>;
