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
export const EXTENTS_DIRECTORY = "extents";
export const INDEX_NAME = "index";

const identitySchema = v.strictObject({
  format: v.literal("ashlar chunkserver"),
  version: v.number(),
  serverId: serverIdSchema,
  /** null until the first registration. */
  clusterId: v.nullable(clusterIdSchema),
  /**
   * Whether the index has recorded the server id. Set before the first chunk is accepted, so an
   * index without it beside an identity with it is another index, or an emptied one.
   */
  isIndexMade: v.boolean(),
});

/** Whose disk this is. Drawn once, at the first start in an empty directory. */
export type DiskIdentity = v.InferOutput<typeof identitySchema>;

/** What the operator says must be there; null: anything. */
export interface ExpectedIdentity {
  readonly serverId: ServerId | null;
  readonly clusterId: ClusterId | null;
}

/**
 * Reads the identity of a data directory, or draws one for a directory that is empty. Durable when
 * it resolves.
 *
 * @throws {AshlarError} WRONG_IDENTITY if the directory holds chunks but no identity, or is another
 *   server's or cluster's; STORE_CORRUPT if the identity cannot be read; VERSION_MISMATCH.
 */
export async function openIdentity(
  world: { readonly disk: Disk; readonly stores: OrderedStores; readonly random: Random },
  expected: ExpectedIdentity,
): Promise<DiskIdentity> {
  const found = await readIdentity(world.disk);
  if (found !== null) {
    checkExpected(found, expected);
    return found;
  }
  await refuseIfUsed(world.disk, world.stores);
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
    serverId: parseServerId(toHex(world.random.bytes(16))),
    clusterId: expected.clusterId,
    isIndexMade: false,
  };
  await writeIdentity(world.disk, identity);
  return identity;
}

/** Replaces the identity as one step. */
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
      `Cannot read ${IDENTITY_FILE} in the data directory: it is not a chunkserver's identity`,
      {
        hint: "Is this the data directory of a chunkserver? If the file is damaged, move the directory away and start with an empty one",
      },
    );
  }
  if (parsed.output.version !== FORMAT_VERSION) {
    throw new AshlarError(
      "VERSION_MISMATCH",
      `Cannot use the data directory: expected format version ${FORMAT_VERSION}: it has ${parsed.output.version}`,
    );
  }
  return parsed.output;
}

function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return null; // The schema refuses it, with the message that the operator needs.
  }
}

function checkExpected(found: DiskIdentity, expected: ExpectedIdentity): void {
  const { serverId, clusterId } = expected;
  if (serverId !== null && serverId !== found.serverId) {
    throw new AshlarError(
      "WRONG_IDENTITY",
      `Cannot use the data directory: expected the disk of server ${serverId}: it is that of ${found.serverId}`,
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

/** An emptied or half-restored disk must never look like a new server with nothing on it. */
async function refuseIfUsed(disk: Disk, stores: OrderedStores): Promise<void> {
  const names = (await disk.list(".")).map((entry) => entry.name);
  const isUsed = names.includes(EXTENTS_DIRECTORY) || (await stores.list()).includes(INDEX_NAME);
  if (!isUsed) return;
  throw new AshlarError(
    "WRONG_IDENTITY",
    `Cannot use the data directory: it holds chunks, but ${IDENTITY_FILE} is missing`,
    { hint: `Restore ${IDENTITY_FILE}, or move the directory away and start with an empty one` },
  );
}
