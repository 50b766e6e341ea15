import * as v from "valibot";
import { toHex } from "../../shared/base/bytes.ts";
import { AshlarError, isAshlarError } from "../../shared/base/errors.ts";
import { type ClusterId, parseServerId, type ServerId } from "../../shared/base/ids.ts";
import type { Disk } from "../../shared/ports/disk.ts";
import type { OrderedStores } from "../../shared/ports/ordered-store.ts";
import type { Random } from "../../shared/ports/random.ts";
import { clusterIdSchema, serverIdSchema } from "../../shared/protocol/schemas.ts";

const IDENTITY_FILE = "chunkserver.json";
const FORMAT_VERSION = 1;
/** Directory of the extent files, relative to the data directory. */
export const EXTENTS_DIRECTORY = "extents";
/** Name of the ordered store that holds the index. */
export const INDEX_NAME = "index";

const identitySchema = v.strictObject({
  format: v.literal("ashlar chunkserver"),
  version: v.number(),
  serverId: serverIdSchema,
  /** Null until the first registration. */
  clusterId: v.nullable(clusterIdSchema),
  /**
   * Whether the server id is recorded in the index. Set before the first chunk is accepted. An
   * index without a server id next to an identity with `isIndexMade` is foreign or was emptied.
   */
  isIndexMade: v.boolean(),
});

/** Identity of a disk. Created once, at the first start in an empty directory. */
export type DiskIdentity = v.InferOutput<typeof identitySchema>;

/** Ids that the operator expects. Null accepts any id. */
export interface ExpectedIdentity {
  readonly serverId: ServerId | null;
  readonly clusterId: ClusterId | null;
}

/**
 * Reads the identity of a data directory, or creates one in an empty directory. Durable when it
 * resolves.
 *
 * @throws {AshlarError} WRONG_IDENTITY if the directory has chunks but no identity, or belongs to
 *   another server or cluster. STORE_CORRUPT if the identity cannot be read. VERSION_MISMATCH.
 */
export async function openIdentity(
  deps: { readonly disk: Disk; readonly stores: OrderedStores; readonly random: Random },
  expected: ExpectedIdentity,
): Promise<DiskIdentity> {
  const found = await readIdentity(deps.disk);
  if (found !== null) {
    checkExpected(found, expected);
    return found;
  }
  await refuseIfUsed(deps.disk, deps.stores);
  if (expected.serverId !== null) {
    throw new AshlarError(
      "WRONG_IDENTITY",
      `Cannot use the data directory: expected the disk of server ${expected.serverId}: it is empty`,
      { hint: "Mount the disk, or remove serverId from the config to start a new server" },
    );
  }
  const identity: DiskIdentity = {
    format: "ashlar chunkserver",
    version: FORMAT_VERSION,
    serverId: parseServerId(toHex(deps.random.bytes(16))),
    clusterId: expected.clusterId,
    isIndexMade: false,
  };
  await writeIdentity(deps.disk, identity);
  return identity;
}

/** Replaces the identity file atomically. Durable when it resolves. */
export async function writeIdentity(disk: Disk, identity: DiskIdentity): Promise<void> {
  const text = `${JSON.stringify(identity, null, 2)}\n`;
  await disk.writeFileDurably(IDENTITY_FILE, new TextEncoder().encode(text));
}

async function readIdentity(disk: Disk): Promise<DiskIdentity | null> {
  let bytes: Uint8Array;
  try {
    bytes = await disk.readFile(IDENTITY_FILE);
  } catch (error) {
    if (isAshlarError(error, "NOT_FOUND")) return null;
    throw error;
  }
  const parsed = v.safeParse(identitySchema, parseJson(bytes));
  if (!parsed.success) {
    throw new AshlarError(
      "STORE_CORRUPT",
      `Cannot read ${IDENTITY_FILE} in the data directory: it is not the identity of a chunkserver`,
      {
        hint: "Check that this is the data directory of a chunkserver. If the file is damaged, move the directory away and start with an empty one",
      },
    );
  }
  if (parsed.output.version !== FORMAT_VERSION) {
    throw new AshlarError(
      "VERSION_MISMATCH",
      `Cannot use the data directory: expected format version ${FORMAT_VERSION}: current value is ${parsed.output.version}`,
    );
  }
  return parsed.output;
}

function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return null; // The schema rejects null, and `readIdentity` reports it.
  }
}

function checkExpected(found: DiskIdentity, expected: ExpectedIdentity): void {
  const { serverId, clusterId } = expected;
  if (serverId !== null && serverId !== found.serverId) {
    throw new AshlarError(
      "WRONG_IDENTITY",
      `Cannot use the data directory: expected the disk of server ${serverId}: it belongs to ${found.serverId}`,
      { hint: "Mount the right disk, or correct serverId in the config" },
    );
  }
  if (clusterId !== null && found.clusterId !== null && clusterId !== found.clusterId) {
    throw new AshlarError(
      "WRONG_IDENTITY",
      `Cannot use the data directory: expected a disk of cluster ${clusterId}: it belongs to ${found.clusterId}`,
      { hint: "Use an empty data directory to join another cluster" },
    );
  }
}

/** Refuses an emptied or partly restored disk, which must not be treated as a new server. */
async function refuseIfUsed(disk: Disk, stores: OrderedStores): Promise<void> {
  const names = (await disk.list(".")).map((entry) => entry.name);
  const isUsed = names.includes(EXTENTS_DIRECTORY) || (await stores.list()).includes(INDEX_NAME);
  if (!isUsed) return;
  throw new AshlarError(
    "WRONG_IDENTITY",
    `Cannot use the data directory: it contains chunks, but ${IDENTITY_FILE} is missing`,
    { hint: `Restore ${IDENTITY_FILE}, or move the directory away and start with an empty one` },
  );
}
