import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { Packr } from "msgpackr";
import * as v from "valibot";
import { defineCall } from "../../../shared/protocol/method.ts";
import { ANY_ROLE } from "../../../shared/protocol/roles.ts";
import {
  type EncodedHead,
  type HeadMeasure,
  measureHead,
  REQUEST_HEAD_BYTES_DEFAULT,
  type RequestLimits,
} from "../../../shared/wire/head-limits.ts";
import type { RpcServer } from "../../../shared/wire/rpc-server.ts";
import { RawPeer } from "../../support/raw-peer.ts";
import { hasCode, memoryFixture, tcpFixture, withPair } from "../../support/wire-fixture.ts";

const packr = new Packr({ useRecords: false, variableMapSize: true });
const MIB = 1024 * 1024;
const options = { timeoutMs: 5000 };

/** A call whose request is any value. */
const any = defineCall("test.any", ANY_ROLE, v.unknown(), v.object({}));

/** Returns the measure of `value` by its definition. */
function measureOf(value: unknown): HeadMeasure {
  if (typeof value === "string") {
    const work = 1 + Math.floor(Buffer.byteLength(value) / 8);
    return { valueCount: 1, bytesCount: 0, work };
  }
  if (value instanceof Uint8Array) return { valueCount: 1, bytesCount: 1, work: 9 };
  if (typeof value !== "object" || value === null) {
    return { valueCount: 1, bytesCount: 0, work: 1 };
  }
  const parts = Array.isArray(value) ? value : Object.entries(value).flat();
  const keyWork = Array.isArray(value) ? 0 : 5 * (1 + parts.length / 2);
  let [valueCount, bytesCount, work] = [1, 0, 1 + keyWork];
  for (const part of parts.map(measureOf)) {
    valueCount += part.valueCount;
    bytesCount += part.bytesCount;
    work += part.work;
  }
  return { valueCount, bytesCount, work };
}

function headOf(source: Uint8Array): EncodedHead {
  return { source, start: 0, end: source.length };
}

describe("measureHead", () => {
  it("measures any message without decoding it", () => {
    const leaf = fc.oneof(
      ...[fc.integer(), fc.maxSafeInteger(), fc.double(), fc.string({ maxLength: 70_000 })],
      ...[
        fc.string({ unit: "binary", maxLength: 100 }),
        fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
      ],
      ...[
        fc.boolean(),
        fc.constant(null),
        fc.constant(undefined),
        fc.uint8Array({ maxLength: 300 }),
      ],
    );
    const tree = fc.letrec((tie) => ({
      node: fc.oneof(
        { depthSize: "small" },
        leaf,
        fc.array(tie("node"), { maxLength: 40 }),
        fc.dictionary(fc.string(), tie("node"), { noNullPrototype: true }),
      ),
    })).node;
    fc.assert(
      fc.property(tree, fc.nat(), (value, cut) => {
        const source = packr.pack(value);
        const measure = measureOf(value);
        assert.deepEqual(measureHead(headOf(source), Number.POSITIVE_INFINITY), measure);
        assert.ok(measureHead(headOf(source), measure.work / 2).work > measure.work / 2);
        const short = headOf(source.subarray(0, cut % source.length));
        assert.throws(
          () => measureHead(short, Number.POSITIVE_INFINITY),
          hasCode("PROTOCOL_ERROR"),
        );
      }),
      { numRuns: 100 },
    );
  });

  const refused: readonly (readonly [title: string, bytes: readonly number[]])[] = [
    ["a byte after the value", [0x90, 0]],
    ["a format that is never used", [0xc1]],
    ["an error", [0xd4, 0x65, 0, 0x92, 0xa1, 0x61, 0xa1, 0x62]],
    ["a record", [0xd4, 0x72, 0x40, 0x91, 0xa1, 0x61, 0]],
    ["a pattern", [0xc7, 0, 0x78, 0x92, 0xa1, 0x61, 0xa0]],
    ["a set", [0xd4, 0x73, 0, 0x90]],
    ["a time", [0xd6, 0xff, 0, 0, 0, 0]],
    ["an array that is longer than the head", [0xdd, 0xff, 0xff, 0xff, 0xff, 0]],
    ["a text that is longer than the head", [0x92, 0xdb, 0xff, 0xff, 0xff, 0xff, 0]],
  ];
  for (const [title, bytes] of refused) {
    it(`refuses ${title}`, () => {
      const head = headOf(Uint8Array.from(bytes));
      assert.throws(() => measureHead(head, Number.POSITIVE_INFINITY), hasCode("PROTOCOL_ERROR"));
    });
  }
});

for (const makeFixture of [tcpFixture, memoryFixture]) {
  describe(`large requests over ${makeFixture().title}`, () => {
    /** Calls `any` with `request`. It must be decoded only if `isHandled`. */
    async function callWith(
      request: unknown,
      { isHandled, ...limits }: RequestLimits & { readonly isHandled: boolean },
    ): Promise<void> {
      const fixture = makeFixture();
      let decodedCount = 0;
      const register = (server: RpcServer): void => {
        const parseRequest = (value: unknown): unknown => {
          decodedCount += 1;
          return value;
        };
        server.onCall({ ...any, ...limits, parseRequest }, async (received) => {
          received.release();
          return {};
        });
      };
      const wireLimits = { headBytesMax: 16 * MIB };
      await withPair(fixture, { register, limits: wireLimits }, async ({ connection }) => {
        const call = connection.call(any, request, options);
        if (isHandled) (await fixture.settle(call)).release();
        else await assert.rejects(fixture.settle(call), hasCode("TOO_LARGE"));
        assert.equal(decodedCount, isHandled ? 1 : 0);
        (await fixture.settle(connection.call(any, 1, options))).release();
      });
    }

    it("are refused above the limit of their method, and the connection stays open", async () => {
      const bytes = (count: number): Uint8Array => new Uint8Array(count);
      await callWith(bytes(REQUEST_HEAD_BYTES_DEFAULT - 100), { isHandled: true });
      await callWith(bytes(REQUEST_HEAD_BYTES_DEFAULT), { isHandled: false });
      await callWith(bytes(2 * MIB), { requestBytesMax: 3 * MIB, isHandled: true });
      await callWith(bytes(4 * MIB), { requestBytesMax: 3 * MIB, isHandled: false });
    });

    const forms: readonly (readonly [title: string, values: (count: number) => unknown])[] = [
      ["empty maps", (count) => new Array(count / 6).fill({})],
      ["maps with different keys", (count) => mapsOf(count / 13)],
      ["a map with many keys", (count) => Object.assign({}, ...mapsOf(count / 7))],
      ["numbers", (count) => new Array(count).fill(0)],
      ["bytes", (count) => new Array(count / 9).fill(new Uint8Array(0))],
      ["texts", (count) => new Array(count / 2).fill("x".repeat(8))],
    ];
    for (const [title, valuesOf] of forms) {
      it(`are refused if they are much work to decode: ${title}`, async () => {
        const [few, many] = [valuesOf(7 * 9 * 13 * 54), valuesOf(7 * 9 * 13 * 66)];
        await callWith(few, { isHandled: true });
        await callWith(many, { isHandled: false });
        await callWith(many, { requestWorkMax: 60_000, isHandled: true });
      });
    }
  });
}

/** Returns `count` maps with one key each. */
function mapsOf(count: number): Record<string, number>[] {
  return Array.from({ length: count }, (_, position) => ({ [`${position}`]: 0 }));
}

describe("a head with an extension of msgpackr", () => {
  it("is refused in a request, and the connection stays open", async () => {
    const fixture = memoryFixture();
    await withPair(fixture, { register: registerAny }, async ({ connection }) => {
      const call = connection.call(any, [new Date()], options);
      await assert.rejects(fixture.settle(call), hasCode("PROTOCOL_ERROR"));
      (await fixture.settle(connection.call(any, [undefined], options))).release();
    });
  });

  it("is refused in a handshake", async () => {
    const fixture = memoryFixture();
    await withPair(fixture, { register: registerAny }, async ({ address }) => {
      const peer = await fixture.settle(RawPeer.connect(fixture.client.network, address));
      peer.hello({ newField: new Date() });
      await fixture.settle(peer.closed);
      assert.deepEqual(peer.frames(), []);
    });
  });
});

function registerAny(server: RpcServer): void {
  server.onCall(any, async (received) => {
    received.release();
    return {};
  });
}
