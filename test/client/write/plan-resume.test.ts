import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { type ChainServer, findSlowest, planResume } from "../../../client/write/plan-resume.ts";
import { BLOCK_BYTES, type ServerId } from "../../../shared/base/ids.ts";

function server(name: string, receivedBytes: number | null): ChainServer {
  return { serverId: name as ServerId, address: `${name}:1`, receivedBytes };
}

describe("the plan to resume a chunk", () => {
  it("resumes at the last block boundary that all survivors have, and fills new servers from one of them", () => {
    const plan = planResume({
      servers: [server("a", 3 * BLOCK_BYTES + 10), server("b", 5 * BLOCK_BYTES), server("c", null)],
      blamed: null,
      firstKeptBytes: 2 * BLOCK_BYTES,
      lengthBytes: 9 * BLOCK_BYTES,
    });
    assert.deepEqual(plan, {
      kind: "resume",
      keep: ["a", "b"],
      fillFrom: "a:1",
      resumeAtBytes: 3 * BLOCK_BYTES,
      exclude: ["c"],
    });
  });

  it("drops a survivor that lacks bytes which the writer has released", () => {
    const plan = planResume({
      servers: [server("a", BLOCK_BYTES), server("b", 4 * BLOCK_BYTES), server("c", 9)],
      blamed: "c" as ServerId,
      firstKeptBytes: 2 * BLOCK_BYTES,
      lengthBytes: 4 * BLOCK_BYTES,
    });
    assert.ok(plan.kind === "resume");
    assert.deepEqual(plan.keep, ["b"]);
    assert.deepEqual(plan.exclude, ["c"], "a is not excluded: it can be filled");
  });

  it("starts again when no server has data and the writer has released none", () => {
    const plan = planResume({
      servers: [server("a", 0), server("b", null)],
      blamed: null,
      firstKeptBytes: 0,
      lengthBytes: BLOCK_BYTES,
    });
    const fresh = { keep: [], fillFrom: null, resumeAtBytes: 0, exclude: ["b"] };
    assert.deepEqual(plan, { kind: "resume", ...fresh });
  });

  it("is lost only if no survivor has the released bytes", () => {
    const plan = planResume({
      servers: [server("a", BLOCK_BYTES), server("b", null)],
      blamed: null,
      firstKeptBytes: 2 * BLOCK_BYTES,
      lengthBytes: 3 * BLOCK_BYTES,
    });
    assert.deepEqual(plan, { kind: "lost" });
  });

  it("never requests bytes that the writer or a kept server does not have", () => {
    const received = fc.option(fc.integer({ min: 0, max: 20 * BLOCK_BYTES }), { nil: null });
    fc.assert(
      fc.property(
        fc.array(received, { minLength: 1, maxLength: 6 }),
        fc.nat({ max: 20 }),
        fc.nat({ max: 3 * BLOCK_BYTES }),
        (counts, keptBlocks, moreBytes) => {
          const firstKeptBytes = keptBlocks * BLOCK_BYTES;
          const lengthBytes = firstKeptBytes + moreBytes;
          const servers = counts.map((count, position) => server(`s${position}`, count));
          const plan = planResume({ servers, blamed: null, firstKeptBytes, lengthBytes });
          if (plan.kind === "lost") {
            assert.ok(firstKeptBytes > 0);
            return;
          }
          assert.equal(plan.resumeAtBytes % BLOCK_BYTES, 0);
          assert.ok(plan.resumeAtBytes >= firstKeptBytes && plan.resumeAtBytes <= lengthBytes);
          for (const { serverId, receivedBytes } of servers) {
            if (plan.keep.includes(serverId)) assert.ok((receivedBytes ?? 0) >= plan.resumeAtBytes);
          }
        },
      ),
    );
  });

  it("blames the server that received less than the one before it", () => {
    assert.equal(findSlowest([server("a", 9), server("b", 3), server("c", 3)]), "b");
    assert.equal(findSlowest([server("a", 9), server("b", 9), server("c", 2)]), "c");
    assert.equal(findSlowest([server("a", 9), server("b", 9)]), null);
  });
});
