import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Chunkservers } from "../../../client/chunkservers/chunkservers.ts";
import type { ClientDeps } from "../../../client/client-deps.ts";
import { Deadline } from "../../../client/deadline.ts";
import { BlockReads } from "../../../client/read/block-reads.ts";
import type { ChunkLocation, ChunkMap } from "../../../client/read/chunk-map.ts";
import { ManifestCache } from "../../../client/read/manifest-cache.ts";
import { SegmentReader } from "../../../client/read/segment-reader.ts";
import { BLOCK_BYTES, type ServerId } from "../../../shared/base/ids.ts";
import { createHasher } from "../../../shared/platform/hasher.ts";
import type { Hasher } from "../../../shared/ports/hasher.ts";
import { readChunk } from "../../../shared/protocol/chunk-api.ts";
import { chunkIdOf, hashBlocks } from "../../../shared/protocol/chunk-id.ts";
import { ConnectionPool } from "../../../shared/wire/connection-pool.ts";
import type { RpcServer } from "../../../shared/wire/rpc-server.ts";
import { CLIENT, hasCode, tcpFixture, withPair } from "../../support/wire-fixture.ts";

const { hasher } = createHasher();

describe("a segment reader", () => {
  it("releases a corrupt frame if the operation ends while it is verified", async () => {
    const fixture = tcpFixture();
    const good = new Uint8Array(BLOCK_BYTES).fill(1);
    const hashes = hashBlocks(hasher, good);
    const chunkId = chunkIdOf(hasher, good.length, hashes);
    const register = (server: RpcServer): void => {
      server.onStream(readChunk, async (request, stream) => {
        request.release();
        const head = { offsetBytes: 0, chunkLengthBytes: good.length, hashes };
        await stream.send(head, new Uint8Array(BLOCK_BYTES).fill(2));
      });
    };
    await withPair(fixture, { register }, async ({ address }) => {
      const { client } = fixture;
      await using pool = new ConnectionPool(client, {
        identity: () => CLIENT,
        role: "chunkserver",
      });
      const { clock, random } = client;
      const caller = new AbortController();
      using deadline = new Deadline(clock, "read the file", { signal: caller.signal });
      // Hashing a block takes time, in which the caller aborts.
      const aborting: Hasher = {
        hash: (bytes) => {
          caller.abort();
          return hasher.hash(bytes);
        },
        deriveKey: (context, material) => hasher.deriveKey(context, material),
        keyedHash: (key, bytes) => hasher.keyedHash(key, bytes),
        stream: () => hasher.stream(),
      };
      const chunkservers = new Chunkservers({ pool, clock, random, hostName: "" });
      const deps = {
        env: { ...client, hasher: aborting },
        chunkservers,
        blockReads: new BlockReads(chunkservers, clock), // The server knows streams only.
        manifests: new ManifestCache(1024 * 1024),
        onRetry: () => {},
      } as unknown as ClientDeps;
      const server = { serverId: "a".repeat(32) as ServerId, address, host: "", isLive: true };
      const chunk: ChunkLocation = {
        position: 0,
        chunkId,
        lengthBytes: good.length,
        replicas: [server],
        badReplicas: new Set(),
      };
      const map = {} as ChunkMap;
      const range = { chunkStartBytes: 0, startBytes: 0, endBytes: good.length };
      const reader = new SegmentReader({ deps, deadline, map, chunk, ...range });
      await assert.rejects(reader.next(), hasCode("CANCELLED"));
      assert.equal(client.slabs.acquiredBytes, 0);
    });
  });
});
