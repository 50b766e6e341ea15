import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { chooseServers } from "../../../master/placement/choose-servers.ts";
import { type Candidate, PlacementTable } from "../../../master/placement/placement-table.ts";
import type { ServerId } from "../../../shared/base/ids.ts";
import { SeededRandom } from "../../support/seeded-random.ts";

const random = new SeededRandom(1);
const fraction = (): number => random.fraction();

function candidate(
  number: number,
  place: { host?: string; rack?: string; availableBytes?: number; capabilities?: string[] } = {},
): Candidate {
  const serverId = number.toString(16).padStart(32, "0") as ServerId;
  const { host = `host-${number}`, rack = "default", availableBytes = 1e12 } = place;
  const capabilities = new Set(place.capabilities);
  return {
    location: { serverId, address: `127.0.0.1:${number}`, host, rack },
    availableBytes,
    activeWrites: 0,
    capabilities,
  };
}

function choose(
  candidates: readonly Candidate[],
  options: Partial<Parameters<typeof chooseServers>[0]> = {},
) {
  const table = new PlacementTable();
  for (const each of candidates) table.update(each);
  const defaults = { count: 3, racksMin: 1, keep: [], clientHost: "", requires: [] };
  return chooseServers({ table, fraction, isEligible: () => true, ...defaults, ...options });
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

  it("chooses no server that is not eligible, and passes over it without end", () => {
    const candidates = Array.from({ length: 600 }, (_, index) => candidate(index + 1));
    const last = candidates.at(-1)?.location as { serverId: ServerId };
    const isEligible = ({ location }: Candidate): boolean => location.serverId === last.serverId;
    assert.deepEqual(choose(candidates, { isEligible }), [last]);
  });

  it("has only servers with the required capabilities, except for kept ones", () => {
    const capable = [1, 2].map((number) => candidate(number, { capabilities: ["a", "b", "c"] }));
    const others = [3, 4, 5].map((number) => candidate(number, { capabilities: ["a"] }));
    const candidates = [...others, ...capable];
    const requires = ["a", "b"];
    const ids = (chain: readonly { serverId: ServerId }[]) => chain.map((each) => each.serverId);
    const wanted = capable.map(({ location }) => location.serverId);
    assert.deepEqual(ids(choose(candidates, { requires })).sort(), wanted);
    const [kept] = others;
    assert.ok(kept !== undefined);
    const keep = [kept.location];
    const chain = choose(candidates, { requires, keep });
    assert.deepEqual(ids(chain.slice(1)).sort(), wanted);
    assert.deepEqual(choose(candidates, { requires: ["d"] }), []);
  });

  it("draws few servers if all are on one host or in one rack", () => {
    const candidates = Array.from({ length: 1_000 }, (_, index) =>
      candidate(index + 1, { host: "the only one", rack: "the only one" }),
    );
    let draws = 0;
    const isEligible = (): boolean => {
      draws += 1;
      return true;
    };
    assert.equal(choose(candidates, { isEligible, racksMin: 2 }).length, 3);
    assert.equal(draws, 3);
  });

  it("takes the best of a bounded number of draws if one host has almost all servers", () => {
    const crowded = Array.from({ length: 5_000 }, (_, index) =>
      candidate(index + 1, { host: "a" }),
    );
    const candidates = [...crowded, candidate(5_001, { host: "b", availableBytes: 1 })];
    let draws = 0;
    const isEligible = (): boolean => {
      draws += 1;
      return true;
    };
    assert.equal(choose(candidates, { isEligible }).length, 3);
    assert.ok(draws < 600, `${draws} draws`);
  });
});
