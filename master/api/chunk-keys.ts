import { present } from "../../shared/base/assert.ts";
import type { Digest } from "../../shared/base/ids.ts";
import { type ChunkKeys, firstChunkKeys } from "../../shared/protocol/chunk-keys.ts";
import type { register } from "../../shared/protocol/fleet-api.ts";
import type { Namespace } from "../namespace/namespace.ts";
import { requireFacts } from "./leader-context.ts";

/**
 * Returns the accepted versions of the chunk key, oldest first. Below feature level 13 there is one.
 *
 * @throws {AshlarError} NO_LEADER until the first leader has created the cluster
 */
export function chunkKeysOf(namespace: Namespace): ChunkKeys {
  const { chunkKey } = requireFacts(namespace);
  return namespace.enrolment()?.keys ?? firstChunkKeys(chunkKey);
}

/** Returns the version of new intents. */
export function newestOf(keys: ChunkKeys): ChunkKeys[number] {
  return present(keys.at(-1), "a chunk key has a version");
}

/** The part of the answer to a registration that only an admitted chunkserver may get. */
type Secrets = Omit<
  ReturnType<(typeof register)["parseResponse"]>,
  "clusterId" | "heartbeatIntervalMs"
>;

/** Returns what an admitted chunkserver gets. @param credential see `Admission` */
export function secretsOf(namespace: Namespace, credential: Digest | null): Secrets {
  const chunkKeys = chunkKeysOf(namespace);
  const chunkKey = newestOf(chunkKeys).key;
  const enrolment = namespace.enrolment();
  if (enrolment === undefined) return { chunkKey };
  const restoreId = enrolment.restoreId as Digest;
  const secrets = { chunkKey, chunkKeys: [...chunkKeys], restoreId };
  return credential === null ? secrets : { ...secrets, credential };
}

/**
 * Returns the versions of the chunk key if a chunkserver has others. Null for a server of an old version.
 *
 * @param held the versions that it has
 */
export function missingKeys(
  namespace: Namespace,
  held: readonly number[] | undefined,
): ChunkKeys | null {
  const keys = namespace.enrolment()?.keys;
  if (keys === undefined || held === undefined) return null;
  return keys.map(({ version }) => version).join() === held.join() ? null : keys;
}
