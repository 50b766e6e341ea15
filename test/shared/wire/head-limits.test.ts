import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { Packr } from "msgpackr";
import * as v from "valibot";
import { defineCall } from "../../../shared/protocol/method.ts";
import { ANY_ROLE } from "../../../shared/protocol/roles.ts";
import { measureHead, REQUEST_HEAD_BYTES_DEFAULT } from "../../../shared/wire/head-limits.ts";
import type { RpcServer } from "../../../shared/wire/rpc-server.ts";
import { hasCode, memoryFixture, tcpFixture, withPair } from "../../support/wire-fixture.ts";

const packr = new Packr({ useRecords: false, variableMapSize: true });
const MIB = 1024 * 1024;
const options = { timeoutMs: 5000 };

/** A call whose request is any value. */
const any = defineCall("test.any", ANY_ROLE, v.unknown(), v.object({}));

/** Returns the number of values in `value` for which `isCounted` returns true, keys included. */
function countOf(value: unknown, isCounted: (value: unknown) => boolean = () => true): number {
  const own = isCounted(value) ? 1 : 0;
  if (typeof value !== "object" || value === null || value instanceof Uint8Array) return own;
  const parts = Array.isArray(value) ? value : Object.entries(value).flat();
  return parts.reduce((sum: number, each) => sum + countOf(each, isCounted), own);
}

describe("measureHead", () => {
  it("counts the values of any message without decoding it", () => {
    const leaf = fc.oneof(
      ...[fc.integer(), fc.maxSafeInteger(), fc.double(), fc.string({ maxLength: 70_000 })],
      ...[fc.boolean(), fc.constant(null), fc.uint8Array({ maxLength: 300 })],
    );
    const tree = fc.letrec((tie) => ({
      node: fc.oneof(
        { depthSize: "small" },
        leaf,
        fc.array(tie("node"), { maxLength: 40 }),
        fc.dictionary(fc.string(), tie("node")),
      ),
    })).node;
    fc.assert(
      fc.property(tree, (value) => {
        const source = packr.pack([value, 0, 0, 0, 0, 0]);
        const head = { source, start: 0, end: source.length };
        // The last bytes are not counted exactly: small values fill them.
        const { valueCount, objectCount } = measureHead(head, Number.POSITIVE_INFINITY);
        assert.equal(valueCount, countOf(value) + 6);
        assert.equal(
          objectCount,
          countOf(value, (each) => each instanceof Uint8Array),
        );
        assert.equal(measureHead(head, 3).valueCount, 3);
      }),
      { numRuns: 50 },
    );
  });
});

for (const makeFixture of [tcpFixture, memoryFixture]) {
  describe(`large requests over ${makeFixture().title}`, () => {
    /** Calls `any` with `request`. The handler must be called only if `isHandled`. */
    async function callWith(
      request: unknown,
      { requestBytesMax, isHandled }: { requestBytesMax?: number; isHandled: boolean },
    ): Promise<void> {
      const fixture = makeFixture();
      let handled = 0;
      const register = (server: RpcServer): void => {
        const method = requestBytesMax === undefined ? any : { ...any, requestBytesMax };
        server.onCall(method, async (received) => {
          received.release();
          handled += 1;
          return {};
        });
      };
      const limits = { headBytesMax: 16 * MIB };
      await withPair(fixture, { register, limits }, async ({ connection }) => {
        const call = connection.call(any, request, options);
        if (isHandled) (await fixture.settle(call)).release();
        else await assert.rejects(fixture.settle(call), hasCode("TOO_LARGE"));
        assert.equal(handled, isHandled ? 1 : 0);
        (await fixture.settle(connection.call(any, 1, options))).release();
      });
    }

    it("are refused above the limit of their method, and the connection stays open", async () => {
      await callWith("x".repeat(REQUEST_HEAD_BYTES_DEFAULT - 100), { isHandled: true });
      await callWith("x".repeat(REQUEST_HEAD_BYTES_DEFAULT), { isHandled: false });
      await callWith("x".repeat(2 * MIB), { requestBytesMax: 3 * MIB, isHandled: true });
      await callWith("x".repeat(4 * MIB), { requestBytesMax: 3 * MIB, isHandled: false });
    });

    it("are refused if they have so many values that decoding them takes much memory", async () => {
      const limits = { requestBytesMax: 16 * MIB };
      await callWith(new Array(1_100_000).fill(0), { ...limits, isHandled: false });
      await callWith(new Array(900_000).fill(0), { ...limits, isHandled: true });
    });
  });
}
