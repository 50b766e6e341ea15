import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ReadMemory } from "../../../chunkserver/pipeline/read-memory.ts";
import { SlabPool } from "../../../shared/flow/slabs.ts";
import { CLIENT } from "../../support/wire-fixture.ts";

const MIB = 1024 * 1024;

describe("the memory of reads", () => {
  it("has a reserve for small reads and one for servers, which large reads of clients cannot take", () => {
    const memory = new ReadMemory(64 * MIB, (bytesMax) => new SlabPool({ bytesMax }));
    const server = { ...CLIENT, role: "chunkserver" as const };
    let count = 0;
    while (memory.of(CLIENT, 8 * MIB).tryAcquire(`client ${count}`, 2 * MIB) !== null) count += 1;
    assert.equal(count, 32);
    assert.notEqual(memory.of(CLIENT, 64 * 1024).tryAcquire("client 1", 64 * 1024), null);
    assert.notEqual(memory.of(server, 8 * MIB).tryAcquire("server 1", 2 * MIB), null);
    assert.notEqual(memory.servers.tryAcquire("client 1", 2 * MIB), null);
    assert.equal(memory.acquiredBytes, 68 * MIB + 64 * 1024);
    assert.equal(memory.waitingCount, 0);
  });
});
