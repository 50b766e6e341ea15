import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Packr } from "msgpackr";
import * as fleetApi from "../../../shared/protocol/fleet-api.ts";
import { REQUEST_WORK_MAX } from "../../../shared/protocol/method.ts";
import { TRANSACTION_OPERATIONS_MAX } from "../../../shared/protocol/namespace-api.ts";
import { stat } from "../../../shared/protocol/stat-api.ts";
import { transact } from "../../../shared/protocol/transact-api.ts";
import {
  measureHead,
  REQUEST_HEAD_BYTES_DEFAULT,
  REQUEST_WORK_DEFAULT,
} from "../../../shared/wire/head-limits.ts";

const packr = new Packr({ useRecords: false });
const ID = "a".repeat(32);
const DIGEST = new Uint8Array(32);
const path = Buffer.from("/directory/name-of-a-file");
const target = { path };

interface Encodable<Request> {
  readonly name: string;
  readonly requestBytesMax?: number;
  readonly requestWorkMax?: number;
  readonly parseRequest: (value: unknown) => Request;
  readonly encodeRequest: (request: Request) => unknown;
}

/** Asserts that the method accepts `request`, and that its bounds do. */
function assertFits<Request>(method: Encodable<Request>, request: unknown): void {
  method.parseRequest(method.encodeRequest(request as Request));
  const { requestBytesMax = REQUEST_HEAD_BYTES_DEFAULT } = method;
  const { requestWorkMax = REQUEST_WORK_DEFAULT } = method;
  const source = packr.pack([method.name, 5000, method.encodeRequest(request as Request)]);
  const { work } = measureHead({ source, start: 0, end: source.length }, Number.POSITIVE_INFINITY);
  assert.ok(work <= requestWorkMax, `${method.name}: ${work} units, ${requestWorkMax} are allowed`);
  assert.ok(source.length <= requestBytesMax, `${method.name}: ${source.length} bytes`);
}

function repeat<Value>(value: Value, count: number): Value[] {
  return new Array(count).fill(value);
}

/** A request with one transaction. */
function transactionOf(operations: unknown[], preconditions: unknown[] = []): unknown {
  return {
    sessionId: 1,
    firstUnacknowledged: 1,
    transactions: [{ sequence: 1, preconditions, operations }],
  };
}

describe("the bounds of a request", () => {
  it("have room for the largest transactions that masters apply: 20,000 units of work", () => {
    const create = { kind: "create", target, mode: 0o644, uid: 0, gid: 0 };
    const content = { kind: "inline", bytes: new Uint8Array(4096) };
    const put = { kind: "put", target, content, replace: true, mode: 0, uid: 0, gid: 0 };
    const exists = { kind: "exists", target };
    const root = { kind: "content-root", target, root: DIGEST };
    const receipt = { serverId: ID, receipt: DIGEST };
    const chunk = {
      id: `${ID}${ID}`,
      lengthBytes: 1,
      intentIndex: 2,
      receipts: repeat(receipt, 3),
    };
    const stage = { kind: "stage", id: ID, target, position: 0, chunks: repeat(chunk, 1_250) };
    const all = TRANSACTION_OPERATIONS_MAX;
    assertFits(transact, transactionOf(repeat(create, all), repeat(exists, all)));
    assertFits(transact, transactionOf([create], repeat(root, all)));
    assertFits(transact, transactionOf(repeat({ ...put, storageClass: "class" }, 1_250)));
    assertFits(transact, transactionOf([stage, stage]));
  });

  it("have room for the reports of a chunkserver, and for its questions", () => {
    const [chunkId, reason] = [`${ID}${ID}`, "x".repeat(300)];
    const space = { totalBytes: 1, availableBytes: 1, usedBytes: 1 };
    const report = { chunkId, intentIndex: 7 };
    assertFits(fleetApi.heartbeat, {
      ...{ serverId: ID, space, chunkCount: 1, activeWrites: 1, isDiskFailed: false },
      copied: repeat(report, 1_000),
      copyFailed: repeat({ chunkId, reason: "x".repeat(1_000) }, 1_000),
      lost: repeat({ ...report, reason }, 1_000),
      unreadable: repeat({ ...report, reason }, fleetApi.UNREADABLE_MAX),
      purged: repeat({ chunkId, purgeIndex: 7 }, 1_000),
    });
    assertFits(fleetApi.confirmChunks, { serverId: ID, chunks: repeat(report, 10_000) });
    const chunkIds = repeat(chunkId, fleetApi.FIND_COPIES_MAX);
    assertFits(fleetApi.findCopies, { serverId: ID, chunkIds });
  });

  it("have room for the targets of a stat, with the longest paths that fit its length", () => {
    const targets = repeat({ inode: 7, path: new Uint8Array(16_000) }, 256);
    assertFits(stat, { read: { kind: "linearizable" }, targets });
  });

  it("allow no method more than REQUEST_WORK_MAX", () => {
    for (const { name, requestWorkMax = 0 } of [transact, stat, ...Object.values(fleetApi)].filter(
      (value): value is typeof transact => typeof value === "object" && "name" in value,
    )) {
      assert.ok(requestWorkMax <= REQUEST_WORK_MAX, name);
    }
  });
});
