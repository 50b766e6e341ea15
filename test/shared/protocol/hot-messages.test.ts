import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { Packr, Unpackr } from "msgpackr";
import { AshlarError, isAshlarError, toErrorData } from "../../../shared/base/errors.ts";
import { shownTime } from "../../../shared/base/times.ts";
import {
  attributesSchema,
  decodeAttributes,
  encodeAttributes,
} from "../../../shared/protocol/attributes.ts";
import type { CallMethod } from "../../../shared/protocol/method.ts";
import { parser } from "../../../shared/protocol/method.ts";
import { CONTENT_CHUNKS_MAX } from "../../../shared/protocol/namespace-api.ts";
import { ID_MAX } from "../../../shared/protocol/schemas.ts";
import { type StatRequest, type StatResponse, stat } from "../../../shared/protocol/stat-api.ts";
import {
  type TransactRequest,
  type TransactResponse,
  transact,
} from "../../../shared/protocol/transact-api.ts";

/** The messages that are encoded as arrays, by hand-written codecs. */

const packr = new Packr({ useRecords: false });
const unpackr = new Unpackr({ useRecords: false, copyBuffers: true });

/** Returns the value that the other end receives. */
function transmitted(value: unknown): unknown {
  return unpackr.unpack(packr.pack(value));
}

/** Converts byte strings for comparison: a Buffer and a Uint8Array of the same bytes are equal. */
function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return { bytes: Buffer.from(value).toString("hex") };
  if (value instanceof AshlarError) return toErrorData(value);
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, plain(each)]));
}

const natural = fc.integer({ min: 0, max: ID_MAX });
const positive = fc.integer({ min: 1, max: ID_MAX });
const owner = fc.integer({ min: 0, max: 0xffffffff });
const mode = fc.integer({ min: 0, max: 0o7777 });
// msgpack encodes negative zero as zero.
const time = fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => value + 0);
const digest = fc.uint8Array({ minLength: 32, maxLength: 32 });
const common = {
  inode: positive,
  mode,
  uid: owner,
  gid: owner,
  mtimeMs: time.map(shownTime),
  atimeMs: time.map(shownTime),
  ctimeMs: time.map(shownTime),
  version: natural,
  storageClass: fc.string({ maxLength: 300 }),
};
const attributes = fc.oneof(
  fc.record({ kind: fc.constant("directory"), ...common, entryCount: natural }),
  fc.record({
    kind: fc.constant("file"),
    ...common,
    sizeBytes: natural,
    chunkSizeBytes: natural,
    chunkCount: natural,
    isInline: fc.boolean(),
    contentRoot: digest,
    copiesWanted: natural,
  }),
);
const path = fc.uint8Array({ minLength: 1, maxLength: 100 });
const target = fc.record({ inode: positive, path }, { requiredKeys: [] });
const error = fc
  .record({
    code: fc.constantFrom("NOT_FOUND" as const, "COMMIT_UNKNOWN" as const, "NOT_LEADER" as const),
    message: fc.string(),
    hint: fc.string(),
  })
  .map(({ code, message, hint }) => new AshlarError(code, message, { hint, details: { at: 1 } }));

const read = fc.oneof(
  fc.constantFrom({ kind: "linearizable" }, { kind: "stale" }),
  natural.map((index) => ({ kind: "session", index })),
);
const statRequest = fc.record(
  { read, targets: fc.array(target, { minLength: 1, maxLength: 8 }), index: natural },
  { requiredKeys: ["read", "targets"] },
) as fc.Arbitrary<unknown> as fc.Arbitrary<StatRequest>;
const statResponse = fc.record({
  index: natural,
  results: fc.array(fc.oneof(attributes, error), { minLength: 1, maxLength: 8 }),
}) as fc.Arbitrary<unknown> as fc.Arbitrary<StatResponse>;

const owned = { mode, uid: owner, gid: owner };
const hex = (digits: number) =>
  fc
    .array(fc.integer({ min: 0, max: 15 }), { minLength: digits, maxLength: digits })
    .map((values) => values.map((value) => value.toString(16)).join(""));
const committedChunk = fc.record({
  id: hex(64),
  lengthBytes: natural,
  intentIndex: natural,
  receipts: fc.constant([]),
});
const kind = <Kind extends string>(name: Kind) => fc.constant(name);
const operation = fc.oneof(
  fc.record({ kind: kind("create"), target, ...owned }),
  fc.record({ kind: kind("make-directory"), target, parents: fc.boolean(), ...owned }),
  fc.record({ kind: kind("rename"), from: target, to: target, noReplace: fc.boolean() }),
  fc.record({
    kind: fc.constantFrom("unlink", "remove-directory", "remove-tree"),
    target,
  }),
  fc.record(
    { kind: kind("set-attributes"), target, ...owned, mtimeMs: time, atimeMs: time },
    { requiredKeys: ["kind", "target"] },
  ),
  fc.record({
    kind: kind("put"),
    target,
    content: fc.record({ kind: kind("inline"), bytes: fc.uint8Array({ maxLength: 50 }) }),
    replace: fc.boolean(),
    ...owned,
  }),
  fc.record({ kind: kind("set-storage-class"), target, storageClass: fc.string() }),
  fc.record(
    {
      kind: kind("stage"),
      id: hex(32),
      target,
      storageClass: fc.string(),
      position: fc.nat(CONTENT_CHUNKS_MAX),
      chunks: fc.array(committedChunk, { minLength: 1, maxLength: 3 }),
    },
    { requiredKeys: ["kind", "id", "target", "position", "chunks"] },
  ),
  fc.record({ kind: kind("stage-directory"), id: hex(32), from: target, index: natural }),
  fc.record({ kind: kind("unstage"), id: hex(32) }),
);
const precondition = fc.oneof(
  fc.record({ kind: fc.constantFrom("absent", "exists"), target }),
  fc.record({ kind: kind("version"), target, version: natural }),
  fc.record({ kind: kind("content-root"), target, root: digest }),
);
const transactRequest = fc.record({
  sessionId: positive,
  firstUnacknowledged: natural,
  transactions: fc.array(
    fc.record({
      sequence: natural,
      preconditions: fc.array(precondition, { maxLength: 3 }),
      operations: fc.array(operation, { minLength: 1, maxLength: 4 }),
    }),
    { minLength: 1, maxLength: 4 },
  ),
}) as fc.Arbitrary<unknown> as fc.Arbitrary<TransactRequest>;
const transacted = fc.record({
  index: natural,
  inodes: fc.array(fc.option(positive), { maxLength: 4 }),
});
const transactResponse = fc.record({
  outcomes: fc.array(fc.oneof(transacted, error), { minLength: 1, maxLength: 8 }),
}) as fc.Arbitrary<unknown> as fc.Arbitrary<TransactResponse>;

/** Any msgpack value, and values that are almost valid. */
const anything = fc.anything({ maxDepth: 3 }).filter((value) => {
  try {
    packr.pack(value);
    return true;
  } catch {
    return false;
  }
});

/** Returns `value` with one element, at any depth, replaced by `other`. */
function withElementReplaced(value: unknown, other: unknown, choices: readonly number[]): unknown {
  const [choice = 0, ...rest] = choices;
  if (choices.length === 0 || !Array.isArray(value) || value.length === 0) return other;
  const place = choice % value.length;
  return value.map((each, at) => (at === place ? withElementReplaced(each, other, rest) : each));
}

function assertParsesOrRejects(parse: (value: unknown) => unknown, value: unknown): void {
  try {
    parse(value);
  } catch (failure) {
    assert.ok(isAshlarError(failure, "PROTOCOL_ERROR"), String(failure));
  }
}

function checkCodec<T>(
  messages: fc.Arbitrary<T>,
  encode: (message: T) => unknown,
  parse: (value: unknown) => T,
): void {
  fc.assert(
    fc.property(messages, (message) => {
      const back = parse(transmitted(encode(message)));
      assert.deepEqual(plain(back), plain(message));
    }),
  );
  const places = fc.array(fc.nat(20), { minLength: 1, maxLength: 5 });
  fc.assert(
    fc.property(messages, anything, places, (message, other, choices) => {
      assertParsesOrRejects(
        parse,
        withElementReplaced(transmitted(encode(message)), other, choices),
      );
      assertParsesOrRejects(parse, other);
    }),
  );
}

function checkMethod<Request, Response>(
  method: CallMethod<Request, Response>,
  requests: fc.Arbitrary<Request>,
  responses: fc.Arbitrary<Response>,
): void {
  checkCodec(requests, method.encodeRequest, method.parseRequest);
  checkCodec(responses, method.encodeResponse, method.parseResponse);
}

describe("messages that are encoded as arrays", () => {
  it("decode to the same attributes, and malformed attributes are a PROTOCOL_ERROR", () => {
    checkCodec(attributes, encodeAttributes as never, decodeAttributes as never);
  });

  it("decode to the same stat messages, and malformed ones are a PROTOCOL_ERROR", () => {
    checkMethod(stat, statRequest, statResponse);
  });

  it("decode to the same transact messages, and malformed ones are a PROTOCOL_ERROR", () => {
    checkMethod(transact, transactRequest, transactResponse);
  });

  it("refuse malformed attributes inside a map with the same error", () => {
    const parse = parser("a page", attributesSchema);
    assert.throws(
      () => parse([7]),
      (failure) => isAshlarError(failure, "PROTOCOL_ERROR"),
    );
  });

  it("are refused above the limits of a call", () => {
    const targets = Array.from({ length: 257 }, () => ({ inode: 1 as never }));
    const read = { kind: "stale" } as const;
    const many = stat.encodeRequest({ read, targets });
    assert.throws(
      () => stat.parseRequest(many),
      (failure) => isAshlarError(failure, "PROTOCOL_ERROR"),
    );
    const unlink = { kind: "unlink", target: { inode: 1 as never } } as const;
    const one = { sequence: 1, preconditions: [], operations: [unlink] };
    const transactions = Array.from({ length: 65 }, () => one);
    const request = { sessionId: 1 as never, firstUnacknowledged: 1, transactions };
    assert.throws(
      () => transact.parseRequest(transact.encodeRequest(request)),
      (failure) => isAshlarError(failure, "PROTOCOL_ERROR"),
    );
  });
});
