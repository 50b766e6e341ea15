import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { type Candidate, PlacementTable } from "../../../master/placement/placement-table.ts";
import type { ServerId } from "../../../shared/base/ids.ts";
import { SeededRandom } from "../../support/seeded-random.ts";

const MIB = 2 ** 20;

function candidate(number: number, mebibytes: number, activeWrites = 0): Candidate {
  const serverId = number.toString(16).padStart(32, "0") as ServerId;
  const location = { serverId, address: `s:${number}`, host: `h${number}`, rack: `r${number % 3}` };
  return { location, availableBytes: mebibytes * MIB, activeWrites, capabilities: new Set() };
}

/** Returns how often each server is the first one of a draw. */
function firstDraws(table: PlacementTable, draws: number): Map<string, number> {
  const random = new SeededRandom(7);
  const counts = new Map<string, number>();
  for (let draw = 0; draw < draws; draw += 1) {
    for (const { location } of table.draw(() => random.fraction())) {
      counts.set(location.address, (counts.get(location.address) ?? 0) + 1);
      break;
    }
  }
  return counts;
}

/** Changes of servers 0 to 19. Without space: a suspension, or a removal. */
const anyChanges = fc.array(
  fc.record({
    server: fc.integer({ min: 0, max: 19 }),
    mebibytes: fc.option(fc.integer({ min: 0, max: 1_000 })),
    isRemoval: fc.boolean(),
  }),
  { maxLength: 60 },
);

/** Applies a change to the table, and to the addresses of the servers that can get chunks. */
function applyChange(
  [table, expected]: readonly [PlacementTable, Set<string>],
  {
    server,
    mebibytes,
    isRemoval,
  }: {
    readonly server: number;
    readonly mebibytes: number | null;
    readonly isRemoval: boolean;
  },
): void {
  const facts = candidate(server, mebibytes ?? 0);
  if (mebibytes === null && isRemoval) table.remove(facts.location.serverId);
  else if (mebibytes === null) table.suspend(facts.location.serverId);
  else table.update(facts);
  if ((mebibytes ?? 0) === 0) expected.delete(facts.location.address);
  else expected.add(facts.location.address);
}

describe("the table of servers for new chunks", () => {
  it("yields every server with space once, after any changes and draws", () => {
    fc.assert(
      fc.property(anyChanges, fc.integer(), (changes, seed) => {
        const random = new SeededRandom(seed);
        const fraction = (): number => random.fraction();
        const table = new PlacementTable();
        const expected = new Set<string>();
        for (const change of changes) {
          applyChange([table, expected], change);
          // An interrupted draw leaves no trace.
          for (const _ of table.draw(fraction)) if (fraction() < 0.5) break;
        }
        const drawn = [...table.draw(fraction)].map(({ location }) => location);
        assert.deepEqual(drawn.map(({ address }) => address).sort(), [...expected].sort());
        const racks = new Set(drawn.map(({ rack }) => rack));
        for (const { rack, host } of drawn) {
          assert.equal(table.hasOtherRack(new Set([rack])), racks.size > 1);
          assert.equal(table.hasOtherHost(new Set([host])), drawn.length > 1);
        }
      }),
    );
  });

  it("draws a server with three times the space three times as often", () => {
    const table = new PlacementTable();
    for (const each of [candidate(1, 3_000), candidate(2, 1_000), candidate(3, 1_000)]) {
      table.update(each);
    }
    const counts = firstDraws(table, 6_000);
    // Expected 3600, 1200, 1200; the seed is fixed.
    assert.ok(Math.abs((counts.get("s:1") ?? 0) - 3_600) < 200, String([...counts]));
    assert.ok(Math.abs((counts.get("s:2") ?? 0) - 1_200) < 150, String([...counts]));
  });

  it("draws a busy server less often", () => {
    const table = new PlacementTable();
    table.update(candidate(1, 1_000, 24));
    table.update(candidate(2, 1_000));
    // Expected 1200 and 4800: 24 active writes divide the weight by 4.
    assert.ok(Math.abs((firstDraws(table, 6_000).get("s:1") ?? 0) - 1_200) < 150);
  });

  it("moves a server that has changed its rack", () => {
    const table = new PlacementTable();
    table.update(candidate(1, 1));
    const { location, ...facts } = candidate(1, 1);
    table.update({ ...facts, location: { ...location, rack: "new" } });
    assert.equal(table.hasOtherRack(new Set(["r1"])), true);
    assert.equal(table.hasOtherRack(new Set(["new"])), false);
  });
});
