import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { type Candidate, chooseServers } from "../../../master/placement/choose-servers.ts";
import type { ServerId } from "../../../shared/base/ids.ts";
import { createHasher } from "../../../shared/platform/hasher.ts";

const { hasher } = createHasher();

function candidate(
  number: number,
  place: { host?: string; rack?: string; availableBytes?: number } = {},
): Candidate {
  const serverId = number.toString(16).padStart(32, "0") as ServerId;
  const { host = `host-${number}`, rack = "default", availableBytes = 1e12 } = place;
  return {
    location: { serverId, address: `127.0.0.1:${number}`, host, rack },
    availableBytes,
    activeWrites: 0,
  };
}

function choose(
  candidates: readonly Candidate[],
  options: Partial<Parameters<typeof chooseServers>[0]> = {},
) {
  const key = Uint8Array.of(1, 2, 3);
  const defaults = { hasher, key, candidates, count: 3, racksMin: 1, keep: [], clientHost: "" };
  return chooseServers({ ...defaults, ...options });
}

const anyCandidates = fc
  .array(
    fc.record({ host: fc.integer({ min: 0, max: 5 }), rack: fc.integer({ min: 0, max: 3 }) }),
    {
      maxLength: 12,
    },
  )
  .map((places) =>
    places.map(({ host, rack }, index) =>
      candidate(index + 1, { host: `h${rack}-${host}`, rack: `r${rack}` }),
    ),
  );

describe("placement of a chunk", () => {
  it("has the requested length, or that of all servers, and names no server twice", () => {
    fc.assert(
      fc.property(anyCandidates, fc.integer({ min: 1, max: 5 }), (candidates, count) => {
        const chain = choose(candidates, { count });
        assert.equal(chain.length, Math.min(count, candidates.length));
        assert.equal(new Set(chain.map((server) => server.serverId)).size, chain.length);
      }),
    );
  });

  it("spans the requested number of racks if that many exist", () => {
    fc.assert(
      fc.property(anyCandidates, fc.integer({ min: 1, max: 3 }), (candidates, racksMin) => {
        const existingRacks = new Set(candidates.map((each) => each.location.rack)).size;
        const racks = new Set(choose(candidates, { racksMin }).map((server) => server.rack)).size;
        assert.ok(racks >= Math.min(racksMin, existingRacks, 3));
      }),
    );
  });

  it("places no two copies on one host while another host is free", () => {
    const candidates = [
      candidate(1, { host: "a" }),
      candidate(2, { host: "a" }),
      candidate(3, { host: "b" }),
      candidate(4, { host: "c" }),
    ];
    assert.equal(new Set(choose(candidates).map((server) => server.host)).size, 3);
  });

  it("does not depend on the order of the candidates", () => {
    fc.assert(
      fc.property(anyCandidates, (candidates) => {
        assert.deepEqual(choose(candidates), choose([...candidates].reverse()));
      }),
    );
  });

  it("keeps the remaining servers of a broken chain first, in their order", () => {
    const candidates = [1, 2, 3, 4, 5].map((number) => candidate(number));
    const keep = [candidates[3], candidates[1]].map((each) => (each as Candidate).location);
    const chain = choose(candidates, { keep });
    assert.deepEqual(chain.slice(0, 2), keep);
    assert.equal(chain.length, 3);
  });

  it("places a server on the writer's host first", () => {
    const candidates = [1, 2, 3].map((number) => candidate(number));
    assert.equal(choose(candidates, { clientHost: "host-3" })[0]?.host, "host-3");
  });

  it("gives a server with three times the space about three times the chunks", () => {
    const candidates = [candidate(1, { availableBytes: 3e12 }), candidate(2), candidate(3)];
    const counts = [0, 0, 0];
    for (let chunk = 0; chunk < 6_000; chunk += 1) {
      const key = Uint8Array.of(chunk & 255, chunk >> 8);
      const port = Number(choose(candidates, { key, count: 1 })[0]?.address.split(":")[1]);
      counts[port - 1] = (counts[port - 1] ?? 0) + 1;
    }
    // Expected 3600, 1200, 1200; the draw is a fixed function, so this cannot flake.
    assert.ok(Math.abs((counts[0] ?? 0) - 3_600) < 200, String(counts));
    assert.ok(Math.abs((counts[1] ?? 0) - 1_200) < 150, String(counts));
  });

  it("moves only the chunks of a server that is removed", () => {
    const all = [1, 2, 3, 4].map((number) => candidate(number));
    for (let chunk = 0; chunk < 200; chunk += 1) {
      const key = Uint8Array.of(chunk);
      const before = choose(all, { key }).map((server) => server.serverId);
      const gone = all[3]?.location.serverId as ServerId;
      const after = choose(all.slice(0, 3), { key }).map((server) => server.serverId);
      for (const serverId of before) if (serverId !== gone) assert.ok(after.includes(serverId));
    }
  });
});
