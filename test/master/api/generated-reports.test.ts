import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { spoiled, valuesOf } from "../../../scripts/fuzz/values.ts";
import { isAshlarError } from "../../../shared/base/errors.ts";
import * as api from "../../../shared/protocol/fleet-api.ts";
import type { CallMethod } from "../../../shared/protocol/method.ts";
import {
  at,
  chunkId,
  chunksContent,
  OWNER,
  sealed,
  serverId,
  TestStateMachine,
} from "../namespace/harness.ts";
import { connectionOf, FleetLeader } from "./fleet-fixture.ts";

/*
 * The fuzzer's requests of a chunkserver are refused in a cluster, where only enrolled servers register.
 * Here they come from a server that has registered.
 */
const METHODS = [
  // About 45 % are answered, so that a third of this number always is.
  { method: api.heartbeat, runCount: 600 },
  { method: api.confirmChunks, runCount: 300 },
  { method: api.listCopies, runCount: 300 },
  { method: api.findCopies, runCount: 300 },
];

const KNOWN = {
  ...{ paths: [], integers: [1, 2, 3, 4], texts: ["planted"], raftTerm: 1, harmless: {} },
  shortIds: ["s1", "s2"].map((name) => serverId(name)),
  chunkIds: ["a", "b", "unknown"].map((name) => chunkId(name)),
  // Other servers are refused before the request is read.
  fields: { serverId: new Array(9).fill(serverId("s1")) },
};

describe("any request of a registered chunkserver", () => {
  for (const { method: each, runCount } of METHODS) {
    const method = each as unknown as CallMethod<unknown, unknown>;
    it(`is answered with a result or a typed error: ${method.name}`, async () => {
      assert.ok(method.requestSchema !== undefined);
      const machine = await TestStateMachine.make();
      for (const name of ["a", "b"]) {
        const content = chunksContent(sealed(name));
        machine.run({ kind: "put", target: at(`/${name}`), content, replace: false, ...OWNER });
      }
      const leader = new FleetLeader(machine);
      const connection = connectionOf("s1");
      await leader.register(connection, "s1");
      const requests = spoiled(valuesOf(method.requestSchema, KNOWN, method.name));
      let answeredCount = 0;
      await fc.assert(
        fc.asyncProperty(requests, async (request) => {
          try {
            const parsed = method.parseRequest(request);
            const call = leader.call(connection, method, parsed);
            const answer = await leader.clock.advanceFor(call, "the answer", 1_000);
            method.parseResponse(method.encodeResponse(answer));
            answeredCount += 1;
          } catch (error) {
            assert.ok(isAshlarError(error), String(error));
          }
        }),
        { numRuns: runCount },
      );
      assert.ok(answeredCount >= runCount / 3, `${answeredCount} requests reach the state`);
    });
  }
});
