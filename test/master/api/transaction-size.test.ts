import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Packr } from "msgpackr";
import { sizeOf } from "../../../master/api/transaction-size.ts";
import type { LogIndex } from "../../../shared/base/ids.ts";
import type {
  CommittedChunk,
  Operation,
  OperationOf,
  Precondition,
} from "../../../shared/protocol/namespace-api.ts";
import { type TransactionRequest, transact } from "../../../shared/protocol/transact-api.ts";
import { at, chunkId, inline, OWNER, serverId, stagingId } from "../namespace/harness.ts";

const PATH_BYTES = 4_000;
const COUNT = 50;

const packr = new Packr({ useRecords: false });
const target = at(`/${"x".repeat(PATH_BYTES - 1)}`);
const id = stagingId("a");
const index = 7 as LogIndex;
const chunk: CommittedChunk = {
  ...{ id: chunkId("a"), lengthBytes: 1_000, intentIndex: index },
  receipts: ["a", "b", "c"].map((name) => ({
    serverId: serverId(name),
    receipt: new Uint8Array(32) as CommittedChunk["receipts"][number]["receipt"],
  })),
};
const published = { ...OWNER, replace: true, sizeBytes: 1, chunkSizeBytes: 1 << 20 };
const sizes = { sizeBytesExpected: 0, sizeBytes: 1 };

const OPERATIONS: { readonly [Kind in Operation["kind"]]: OperationOf<Kind> } = {
  "make-directory": { kind: "make-directory", target, parents: true, ...OWNER },
  create: { kind: "create", target, ...OWNER },
  rename: { kind: "rename", from: target, to: target, noReplace: true },
  unlink: { kind: "unlink", target },
  "remove-directory": { kind: "remove-directory", target },
  "remove-tree": { kind: "remove-tree", target },
  "set-attributes": { kind: "set-attributes", target, mode: 0o600 },
  put: { kind: "put", target, content: inline("x"), replace: true, ...OWNER },
  "commit-chunks": {
    ...{ kind: "commit-chunks", target, ...sizes },
    changes: [{ position: 0, expected: null, chunk }],
  },
  copy: { kind: "copy", from: target, to: target, replace: true, preserve: true, uid: 0, gid: 0 },
  restore: { kind: "restore", from: target, index, to: target, replace: true },
  "set-storage-class": { kind: "set-storage-class", target, storageClass: "s".repeat(300) },
  stage: { kind: "stage", id, target, position: 0, chunks: [chunk] },
  "stage-directory": { kind: "stage-directory", id, from: target, index },
  publish: { kind: "publish", id, target, ...published },
  unstage: { kind: "unstage", id },
};

/** Asserts that the size of a transaction is about that of its encoding. */
function checkSize(operations: Operation[], preconditions: Precondition[], what: string): void {
  const transaction: TransactionRequest = { sequence: 1, preconditions, operations };
  const request = { sessionId: 1 as never, firstUnacknowledged: 1, transactions: [transaction] };
  const encodedBytes = packr.pack(transact.encodeRequest(request)).length;
  const bytes = sizeOf([transaction]);
  assert.ok(bytes > 0.9 * encodedBytes, `${what}: ${bytes} of ${encodedBytes}`);
  assert.ok(bytes < 1.5 * encodedBytes, `${what}: ${bytes} of ${encodedBytes}`);
}

describe("the size of a transaction", () => {
  it("has all paths of every operation", () => {
    for (const [kind, operation] of Object.entries(OPERATIONS)) {
      checkSize(
        Array.from({ length: COUNT }, () => operation),
        [],
        kind,
      );
    }
  });

  it("has the paths of the preconditions", () => {
    const precondition: Precondition = { kind: "absent", target };
    checkSize(
      [],
      Array.from({ length: COUNT }, () => precondition),
      "preconditions",
    );
  });

  it("has the content of inline files", () => {
    const content = inline("x".repeat(30_000));
    checkSize([{ kind: "put", target, content, replace: true, ...OWNER }], [], "inline");
  });
});
