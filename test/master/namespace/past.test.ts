import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { NamespaceOperation } from "../../../master/namespace/command.ts";
import { errorOfRefused } from "../../../master/namespace/refused-answer.ts";
import type { LogIndex } from "../../../shared/base/ids.ts";
import type { PathVersion } from "../../../shared/protocol/history-api.ts";
import {
  assertOk,
  at,
  BOOTSTRAP,
  chunkId,
  chunksContent,
  codeOf,
  DAY_MS,
  inline,
  MIB,
  OWNER,
  SECOND_MS,
  sealed,
  serverId,
  TestStateMachine,
} from "./harness.ts";
import { checkInvariants } from "./invariants.ts";

const putText = (path: string, content: string): NamespaceOperation => ({
  kind: "put",
  target: at(path),
  content: inline(content),
  replace: true,
  ...OWNER,
});
const makeDirectory = (path: string): NamespaceOperation => ({
  kind: "make-directory",
  target: at(path),
  parents: false,
  ...OWNER,
});
const rename = (from: string, to: string): NamespaceOperation => ({
  kind: "rename",
  from: at(from),
  to: at(to),
  noReplace: false,
});
const restore = (from: string, index: LogIndex, to = from): NamespaceOperation => ({
  kind: "restore",
  from: at(from),
  to: at(to),
  index,
  replace: false,
});
const text = (bytes: Uint8Array | null): string => new TextDecoder().decode(bytes ?? undefined);

describe("the time table", () => {
  it("returns the last index that was applied at a time, never a later one", async () => {
    const machine = await TestStateMachine.make();
    const made: { index: LogIndex; timeMs: number }[] = [];
    for (const waitMs of [700, 700, 700, 2_500, 100, 100, 5_000]) {
      machine.nowMs += waitMs;
      const index = machine.run(putText("/f", `${machine.nowMs}`));
      made.push({ index, timeMs: machine.nowMs });
    }
    for (let timeMs = BOOTSTRAP.nowMs; timeMs < machine.nowMs + 3_000; timeMs += 50) {
      const index = machine.namespace.indexAt(timeMs);
      const later = made.filter((each) => each.timeMs > timeMs).map((each) => each.index);
      assert.ok(!later.includes(index), `the index at ${timeMs} is not a later one`);
      const due = made.filter((each) => each.timeMs <= timeMs - SECOND_MS).at(-1);
      if (due !== undefined) {
        assert.ok(index >= due.index, `the index at ${timeMs} is at most one second old`);
      }
    }
    assert.equal(machine.namespace.indexAt(machine.nowMs + SECOND_MS), machine.index);
  });

  it("refuses a time before the bootstrap or the retention and returns the oldest index", async () => {
    const machine = await TestStateMachine.make();
    assert.throws(() => machine.namespace.indexAt(BOOTSTRAP.nowMs - 1), { code: "INDEX_EXPIRED" });
    machine.nowMs += DAY_MS;
    const kept = machine.run(putText("/f", "one"));
    machine.run({ kind: "unlink", target: at("/f") });
    machine.nowMs += DAY_MS;
    machine.reclaimAll();
    machine.nowMs += SECOND_MS;
    machine.reclaimAll();
    const oldestIndex = machine.namespace.oldestReadableIndex();
    assert.equal(oldestIndex, kept);
    assert.throws(() => machine.namespace.indexAt(machine.nowMs - 2 * DAY_MS), {
      code: "INDEX_EXPIRED",
      details: { oldestIndex, oldestTimeMs: BOOTSTRAP.nowMs + DAY_MS },
    });
    assert.equal(machine.namespace.timeOf(oldestIndex), BOOTSTRAP.nowMs + DAY_MS);
  });

  it("finds a time in 10,000 rows and drops old rows in bounded steps", async () => {
    const machine = await TestStateMachine.make();
    for (let second = 0; second < 10_000; second += 1) {
      machine.nowMs += SECOND_MS;
      machine.apply({ kind: "keep-session", nowMs: machine.nowMs, sessionId: machine.sessionId });
    }
    await machine.namespace.flush();
    const wantedMs = BOOTSTRAP.nowMs + 4_321 * SECOND_MS;
    assert.equal(machine.namespace.timeOf(machine.namespace.indexAt(wantedMs)), wantedMs);
    machine.run(putText("/f", "one"), { kind: "unlink", target: at("/f") });
    machine.nowMs += 3 * DAY_MS;
    while (machine.namespace.reclaimPending(machine.nowMs)) {
      assertOk(machine.apply({ kind: "reclaim", nowMs: machine.nowMs, recordsMax: 400 }));
      assert.ok(machine.namespace.changedCount <= 410, "a step changes at most recordsMax records");
      await machine.namespace.flush();
    }
  });
});

describe("the history of a path", () => {
  const linesOf = (versions: readonly PathVersion[]) =>
    versions.map(({ index, change, otherPath, attributes }) => {
      const size = attributes?.kind === "file" ? ` ${attributes.sizeBytes}` : "";
      const other = otherPath === null ? "" : ` ${text(otherPath)}`;
      return `${index} ${change}${size}${other}`;
    });
  const historyOf = (machine: TestStateMachine, path: string) =>
    machine.namespace.history({ path: at(path).path as Uint8Array, limit: 100 }).versions;

  it("has the creation, contents, attributes, moves and removal of a file", async () => {
    const machine = await TestStateMachine.make();
    machine.run(makeDirectory("/d"));
    machine.run(putText("/d/f", "one"));
    machine.run(putText("/d/f", "three"));
    machine.run({ kind: "set-attributes", target: at("/d/f"), mode: 0o600 });
    machine.nowMs += SECOND_MS;
    machine.run(rename("/d/f", "/d/g"));
    machine.run(putText("/d/f", "new"));
    machine.run(putText("/d/h", "other"));
    machine.run(rename("/d/h", "/d/f"));
    machine.run({ kind: "unlink", target: at("/d/f") });
    assert.deepEqual(linesOf(historyOf(machine, "/d/f")), [
      "4 created 3",
      "5 content 5",
      "6 attributes 5",
      "7 moved-away /d/g",
      "8 created 3",
      "10 replaced 5 /d/h",
      "11 removed",
    ]);
    assert.deepEqual(linesOf(historyOf(machine, "/d/g")), ["7 moved-here 5 /d/f"]);
    assert.equal(historyOf(machine, "/d/g")[0]?.timeMs, machine.nowMs);
    assert.deepEqual(linesOf(historyOf(machine, "/nothing/there")), []);
  });

  it("has the moves and the removal of a parent directory, with their times", async () => {
    const machine = await TestStateMachine.make();
    machine.run(makeDirectory("/d"));
    machine.run(putText("/d/f", "one"));
    machine.run(rename("/d", "/e"));
    machine.nowMs += 5 * SECOND_MS;
    machine.run({ kind: "remove-tree", target: at("/e") });
    assert.deepEqual(linesOf(historyOf(machine, "/d/f")), ["4 created 3", "5 moved-away /e/f"]);
    assert.deepEqual(linesOf(historyOf(machine, "/e/f")), ["5 moved-here 3 /d/f", "6 removed"]);
    assert.equal(historyOf(machine, "/e/f")[1]?.timeMs, machine.nowMs);
    assert.deepEqual(linesOf(historyOf(machine, "/d")), ["3 created", "5 moved-away /e"]);
  });

  it("starts with the version at the start of the retention period", async () => {
    const machine = await TestStateMachine.make();
    machine.run(putText("/f", "one"), putText("/g", ""));
    machine.nowMs += SECOND_MS;
    machine.run({ kind: "unlink", target: at("/g") });
    machine.nowMs += DAY_MS;
    machine.run(putText("/f", "three"));
    machine.reclaimAll();
    assert.equal(machine.namespace.oldestReadableIndex(), 4);
    assert.deepEqual(linesOf(historyOf(machine, "/f")), ["3 existing 3", "5 content 5"]);
    assert.deepEqual(linesOf(historyOf(machine, "/g")), []);
  });
});

describe("restore", () => {
  it("restores a removed file with content, mode and owner, by reference", async () => {
    const machine = await TestStateMachine.make();
    const content = chunksContent(sealed("a"), sealed("b", { lengthBytes: 5 }));
    const put = { kind: "put", target: at("/f"), content, replace: true, ...OWNER } as const;
    const index = machine.run({ ...put, mtimeMs: 5 });
    const before = machine.namespace.stat(at("/f"));
    machine.run({ kind: "unlink", target: at("/f") });
    machine.run(restore("/f", index));
    const after = machine.namespace.stat(at("/f"));
    const { inode: _, version: __, ctimeMs: ___, ...same } = before;
    assert.deepEqual({ ...after, ...same }, after);
    const part = machine.namespace.locate(at("/f"), { firstPosition: 0, count: 9 });
    assert.deepEqual(
      part.chunks.map((chunk) => chunk.id),
      [chunkId("a"), chunkId("b")],
    );
    machine.expireAndReclaim();
    await machine.namespace.flush();
    checkInvariants(machine.store);
    assert.equal(machine.namespace.counters().chunkCount, 2);
    assert.equal(machine.namespace.purgesOf(serverId("s1"), 9).length, 0);
  });

  it("restores the old chunks of a file that was changed in place", async () => {
    const machine = await TestStateMachine.make();
    const content = chunksContent(sealed("a"), sealed("b"));
    const index = machine.run({ kind: "put", target: at("/f"), content, replace: true, ...OWNER });
    const chunk = sealed("c", { intentIndex: machine.index });
    machine.run({
      kind: "commit-chunks",
      target: at("/f"),
      sizeBytesExpected: 2 * MIB,
      sizeBytes: 2 * MIB,
      changes: [{ position: 1, expected: chunkId("b"), chunk }],
    });
    machine.run(restore("/f", index, "/then"));
    const chunksOf = (path: string) =>
      machine.namespace
        .locate(at(path), { firstPosition: 0, count: 9 })
        .chunks.map((each) => each.id);
    assert.deepEqual(chunksOf("/then"), [chunkId("a"), chunkId("b")]);
    assert.deepEqual(chunksOf("/f"), [chunkId("a"), chunkId("c")]);
  });

  it("refuses a taken name, a path that did not exist and an expired index", async () => {
    const machine = await TestStateMachine.make();
    const index = machine.run(putText("/f", "one"), makeDirectory("/d"));
    machine.run(putText("/f", "two"));
    const code = (operation: NamespaceOperation) => codeOf(machine.transact([operation]));
    assert.equal(code(restore("/f", index)), "ALREADY_EXISTS");
    assert.equal(code(restore("/d", index)), "ALREADY_EXISTS");
    assert.equal(code({ ...restore("/f", index, "/d"), replace: true } as never), "IS_A_DIRECTORY");
    assert.equal(code(restore("/f", (index - 1) as LogIndex)), "NOT_FOUND");
    assert.equal(code(restore("/f", (machine.index + 1) as LogIndex)), "INVALID_ARGUMENT");
    assert.equal(code({ ...restore("/f", index), replace: true } as never), "ok");
    const { inlineBytes } = machine.namespace.locate(at("/f"), { firstPosition: 0, count: 1 });
    assert.equal(text(inlineBytes), "one");
    machine.expireAndReclaim();
    assert.equal(code(restore("/f", index, "/g")), "INDEX_EXPIRED");
  });

  it("reads the past without the earlier operations of its own entry", async () => {
    const machine = await TestStateMachine.make();
    const index = machine.run(putText("/f", "one"));
    machine.run({ kind: "unlink", target: at("/f") }, restore("/f", index));
    machine.run(putText("/f", "two"), restore("/f", machine.index, "/g"));
    const { inlineBytes } = machine.namespace.locate(at("/g"), { firstPosition: 0, count: 1 });
    assert.equal(text(inlineBytes), "one");
  });

  it("restores at most as many chunks in one entry as the largest file has", async () => {
    const machine = await TestStateMachine.make();
    const chunk = sealed("a");
    const content = chunksContent(...Array.from({ length: 30_000 }, () => chunk));
    const index = machine.run({ kind: "put", target: at("/f"), content, replace: true, ...OWNER });
    const copies = ["/a", "/b", "/c"].map((path) => restore("/f", index, path));
    assert.equal(codeOf(machine.transact(copies)), "TOO_LARGE");
    assert.throws(() => machine.namespace.stat(at("/a")), { code: "NOT_FOUND" });
    assert.equal(codeOf(machine.transact(copies.slice(0, 2))), "ok");
  });
});

describe("a refused transaction", () => {
  it("returns the operation and the inode that the operations before it left (G3)", async () => {
    const machine = await TestStateMachine.make();
    const outcome = machine.transact([
      putText("/f", "one"),
      makeDirectory("/d"),
      putText("/d", ""),
    ]);
    assert.ok(!outcome.ok);
    assert.equal(outcome.operationIndex, 2);
    assert.deepEqual(outcome.details, {
      path: "/d",
      found: { kind: "directory", version: 3, entryCount: 0 },
    });
    assert.throws(() => machine.namespace.stat(at("/f")), { code: "NOT_FOUND" });
  });

  it("returns the precondition, the expected value and the current value", async () => {
    const machine = await TestStateMachine.make();
    const version = machine.run(putText("/f", "one"));
    const outcome = machine.transact(
      [makeDirectory("/d")],
      [
        { kind: "absent", target: at("/d") },
        { kind: "version", target: at("/f"), version: 1 as LogIndex },
      ],
    );
    assert.ok(!outcome.ok);
    assert.equal(outcome.code, "PRECONDITION_FAILED");
    assert.equal(outcome.operationIndex, null);
    const { preconditionIndex, expected, found } = errorOfRefused(outcome).details;
    assert.equal(preconditionIndex, 1);
    assert.equal(expected, "version 1");
    assert.deepEqual(
      { ...(found as object), contentRoot: "" },
      {
        kind: "file",
        version,
        sizeBytes: 3,
        contentRoot: "",
      },
    );
  });
});
