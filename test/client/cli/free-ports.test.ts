import assert from "node:assert/strict";
import { createServer } from "node:net";
import { describe, it } from "node:test";
import { freeAddresses } from "../../../client/cli/cluster/free-ports.ts";
import { readFirstEphemeralPort } from "../../../shared/platform/procfs.ts";

function portOf(address: string): number {
  return Number(address.slice(address.lastIndexOf(":") + 1));
}

describe("free ports for servers", () => {
  it("are not those that the kernel gives to connections", async () => {
    const first = readFirstEphemeralPort();
    assert.ok(first > 10_000, `the kernel has a range of ephemeral ports: ${first}`);
    const addresses = await freeAddresses(0, 20);
    assert.deepEqual(
      addresses.filter((address) => portOf(address) >= first),
      [],
    );
  });

  it("are chosen once by a process", async () => {
    const chosen = await Promise.all(Array.from({ length: 20 }, () => freeAddresses(0, 10)));
    assert.equal(new Set(chosen.flat()).size, 200);
    const later = await freeAddresses(0, 10);
    assert.equal(new Set([...chosen.flat(), ...later]).size, 210);
  });

  it("are not those of a server that listens", async () => {
    const [address] = await freeAddresses(0, 1);
    assert.ok(address !== undefined);
    const next = portOf(address) + 1;
    const holder = createServer().listen(next, "127.0.0.1");
    try {
      assert.ok(!(await freeAddresses(0, 3)).includes(`127.0.0.1:${next}`));
    } finally {
      holder.close();
    }
  });
});
