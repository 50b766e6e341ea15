import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { StageOperation, VerifiedChunk } from "../../../master/namespace/command.ts";
import { checkLevel } from "../../../master/namespace/feature-levels.ts";
import { stagedTotalsKey, textToBytes } from "../../../master/namespace/keys.ts";
import { Namespace } from "../../../master/namespace/namespace.ts";
import { STAGED_CHUNKS_MAX, STAGED_UPLOADS_MAX } from "../../../master/namespace/staging.ts";
import { STAGED_TOTALS } from "../../../master/namespace/tables.ts";
import type { InodeId, LogIndex, SessionId } from "../../../shared/base/ids.ts";
import { CONTENT_CHUNKS_MAX } from "../../../shared/protocol/namespace-api.ts";
import { eventsFrom, position } from "./feed-model.ts";
import {
  assertOk,
  at,
  codeOf,
  hasher,
  MIB,
  OWNER,
  sealed,
  serverId,
  stagingId,
  TestStateMachine,
} from "./harness.ts";
import { checkInvariants } from "./invariants.ts";
import { backupOf, restoredFrom } from "./restored-machine.ts";

const stage = (id: string, chunks: readonly VerifiedChunk[], first = 0): StageOperation => ({
  kind: "stage",
  id: stagingId(id),
  target: at("/f"),
  position: first,
  chunks,
});
const unstage = (id: string) => ({ kind: "unstage", id: stagingId(id) }) as const;
/** Returns `count` references to the chunk "a". */
const references = (count: number): VerifiedChunk[] =>
  Array.from({ length: count }, () => sealed("a", { servers: [] }));

async function flushed(machine: TestStateMachine): Promise<TestStateMachine> {
  await machine.namespace.flush();
  checkInvariants(machine.store);
  return machine;
}

describe("an unfinished upload", () => {
  it("appears in no listing, no past state and no event", async () => {
    const machine = await TestStateMachine.make();
    const { namespace } = machine;
    const before = eventsFrom(namespace, position(0)).events.length;
    machine.run(stage("u", [sealed("a")]));
    machine.run(stage("u", [sealed("b")], 1));
    machine.run(unstage("u"));
    machine.run(stage("u", [sealed("a")]));
    assert.deepEqual(namespace.list(at("/"), { limit: 10 }).entries, []);
    assert.equal(eventsFrom(namespace, position(0)).events.length, before);
    const { fileCount, logicalBytes, stagedBytes } = namespace.counters();
    assert.deepEqual([fileCount, logicalBytes, stagedBytes], [0, 0, MIB]);
    const index = machine.index;
    machine.run({ kind: "create", target: at("/f"), ...OWNER });
    assert.deepEqual(namespace.list(at("/"), { limit: 10 }, index).entries, []);
    await flushed(machine);
  });

  it("survives a restart and belongs to one session", async () => {
    const machine = await TestStateMachine.make();
    machine.run(stage("u", [sealed("a")]));
    const first = machine.sessionId;
    machine.openSession();
    machine.run(unstage("u"), stage("u", [sealed("a")]));
    await machine.namespace.flush();
    machine.restart();
    machine.restart();
    machine.closeSession();
    machine.reclaimAll();
    assert.equal(machine.namespace.counters().stagedBytes, MIB);
    assert.equal(machine.namespace.chunk(sealed("a").id)?.referenceCount, 1);
    assertOk(machine.apply({ kind: "close-session", nowMs: machine.nowMs, sessionId: first }));
    machine.reclaimAll();
    assert.equal(machine.namespace.chunk(sealed("a").id), undefined);
    assert.equal(machine.namespace.purgesOf(serverId("s1"), 10).length, 1);
    await flushed(machine);
  });
});

describe("the limits of unfinished uploads", () => {
  it("bound the uploads of a session", async () => {
    const machine = await TestStateMachine.make();
    const names = Array.from({ length: STAGED_UPLOADS_MAX }, (_, index) => `u${index}`);
    machine.run(...names.map((name) => stage(name, [sealed("a")])));
    assert.equal(codeOf(machine.transact([stage("more", [sealed("a")])])), "TOO_LARGE");
    machine.run(stage("u0", [sealed("b")], 1));
    machine.run(unstage("u1"), stage("more", [sealed("a")]));
    machine.openSession();
    machine.run(stage("u0", [sealed("a")]));
  });

  it("bound the chunks of an upload", async () => {
    const machine = await TestStateMachine.make();
    machine.run(stage("u", [sealed("a")]));
    const many = references(CONTENT_CHUNKS_MAX);
    assert.equal(codeOf(machine.transact([stage("u", many, 1)])), "TOO_LARGE");
  });

  it("bound the chunks of a session", async () => {
    const machine = await TestStateMachine.make();
    machine.run(stage("u", [sealed("a")]));
    await machine.namespace.flush();
    // A session with that many chunks takes seconds to make.
    const key = stagedTotalsKey(machine.sessionId);
    const sums = { uploadCount: 1, chunkCount: STAGED_CHUNKS_MAX - 1 };
    await machine.store.commit([{ key: textToBytes(key), value: STAGED_TOTALS.encode(sums, key) }]);
    machine.namespace = Namespace.open({ store: machine.store, hasher });
    assert.equal(codeOf(machine.transact([stage("u", references(2), 1)])), "TOO_LARGE");
    assert.equal(codeOf(machine.transact([stage("v", references(2))])), "TOO_LARGE");
    assert.equal(codeOf(machine.transact([stage("v", references(1))])), "ok");
  });

  it("require feature level 3 for both operations", () => {
    const attempt = { sessionId: 1 as SessionId, sequence: 1, firstUnacknowledged: 1 };
    for (const operation of [stage("u", [sealed("a")]), unstage("u")]) {
      const create = { kind: "create", target: at("/f"), ...OWNER } as const;
      const operations = [create, operation];
      const command = {
        kind: "transact",
        nowMs: 1,
        attempt,
        preconditions: [],
        operations,
      } as const;
      checkLevel(command, 3);
      checkLevel({ ...command, operations: [create] }, 1);
      assert.throws(() => checkLevel(command, 2), { code: "VERSION_MISMATCH" });
    }
  });
});

describe("an unfinished tree", () => {
  /** Returns a machine whose removed tree /d with the file /d/sub/f can be restored from `index`. */
  async function withRemovedTree(): Promise<{ machine: TestStateMachine; index: LogIndex }> {
    const machine = await TestStateMachine.make();
    const made = { kind: "make-directory", target: at("/d/sub"), parents: true } as const;
    machine.run({ ...made, mode: 0o750, uid: 7, gid: 7 });
    const content = { kind: "inline", bytes: Buffer.from("text") } as const;
    const target = at("/d/sub/f");
    const index = machine.run({ kind: "put", target, content, replace: true, ...OWNER });
    machine.run({ kind: "remove-tree", target: at("/d") });
    return { machine, index };
  }

  const stageTree = (id: string, index: LogIndex) =>
    ({ kind: "stage-directory", id: stagingId(id), from: at("/d"), index }) as const;

  /** Builds the tree again, as an unfinished one. @returns its inode */
  function build(machine: TestStateMachine, id: string, index: LogIndex): InodeId {
    const outcome = machine.transact([stageTree(id, index)]);
    assertOk(outcome);
    const inode = outcome.results[0]?.inode as InodeId;
    for (const name of ["/sub", "/sub/f"]) {
      const to = { inode, ...at(name) };
      machine.run({ kind: "restore", from: at(`/d${name}`), index, to, replace: false });
    }
    return inode;
  }

  const publish = (inode: InodeId, to: string) =>
    ({ kind: "rename", from: { inode }, to: at(to), noReplace: true }) as const;

  it("has no path, and one entry publishes all of it", async () => {
    const { machine, index } = await withRemovedTree();
    const { namespace } = machine;
    const start = machine.index + 1;
    const inode = build(machine, "t", index);
    assert.deepEqual(namespace.list(at("/"), { limit: 10 }).entries, []);
    assert.equal(namespace.pathOf(inode), undefined);
    assert.equal(namespace.stat({ inode }).mode, 0o750);
    assert.deepEqual(eventsFrom(namespace, position(start), { path: "/e" }).events, []);
    // A watch of the root has the events without paths, so that it knows what is published.
    const events = eventsFrom(namespace, position(start)).events;
    assert.deepEqual(
      events.map(({ kind, path }) => [kind, path]),
      [1, 2, 3].map(() => ["created", null]),
    );
    await flushed(machine);

    const published = machine.run(publish(inode, "/e"));
    assert.equal(namespace.stat(at("/e/sub/f")).kind, "file");
    const [event, ...others] = eventsFrom(namespace, position(published), { path: "/e" }).events;
    assert.ok(event?.kind === "renamed" && event.from.path === null && others.length === 0);
    const { versions } = namespace.history({ path: Buffer.from("/e"), limit: 10 });
    assert.deepEqual(
      versions.map(({ change, otherPath }) => [change, otherPath]),
      [["created", null]],
    );
    machine.closeSession();
    machine.expireAndReclaim();
    assert.equal(namespace.stat(at("/e/sub/f")).kind, "file");
    await flushed(machine);
  });

  it("ends with its session, or when it is unstaged by it", async () => {
    for (const end of ["close", "unstage", "remove"] as const) {
      const { machine, index } = await withRemovedTree();
      const inode = build(machine, "t", index);
      build(machine, "other", index);
      await flushed(machine);
      if (end === "unstage") machine.run(unstage("t"));
      if (end === "remove") machine.run({ kind: "remove-tree", target: { inode } });
      const first = machine.sessionId;
      machine.openSession();
      machine.run(unstage("other")); // The other session has no such tree.
      const { nowMs } = machine;
      if (end === "close") assert.equal(machine.namespace.stat({ inode }).kind, "directory");
      else assert.throws(() => machine.namespace.stat({ inode }), { code: "NOT_FOUND" });
      assertOk(machine.apply({ kind: "expire-sessions", nowMs, sessionIds: [first] }));
      machine.expireAndReclaim(5);
      await flushed(machine);
      const { fileCount, directoryCount, historyVersions } = machine.namespace.counters();
      assert.deepEqual([fileCount, directoryCount, historyVersions], [0, 1, 0], end);
      assert.equal(codeOf(machine.transact([publish(inode, "/e")])), "NOT_FOUND");
    }
  });

  it("is refused twice under one id, for a file, and above the limit of a session", async () => {
    const { machine, index } = await withRemovedTree();
    build(machine, "t", index);
    assert.equal(codeOf(machine.transact([stageTree("t", index)])), "ALREADY_EXISTS");
    const file = { ...stageTree("u", index), from: at("/d/sub/f") };
    assert.equal(codeOf(machine.transact([file])), "NOT_A_DIRECTORY");
    const later = { ...stageTree("u", index), index: machine.index };
    assert.equal(codeOf(machine.transact([later])), "NOT_FOUND");
    const many = Array.from({ length: STAGED_UPLOADS_MAX }, (_, id) => stageTree(`n${id}`, index));
    assert.equal(codeOf(machine.transact(many)), "TOO_LARGE");
    await flushed(machine);
  });

  it("requires feature level 6", () => {
    const attempt = { sessionId: 1 as SessionId, sequence: 1, firstUnacknowledged: 1 };
    const operations = [stageTree("t", 1 as LogIndex)];
    const command = { kind: "transact", nowMs: 1, attempt, preconditions: [], operations } as const;
    checkLevel(command, 6);
    assert.throws(() => checkLevel(command, 5), { code: "VERSION_MISMATCH" });
  });
});

describe("the end of a session with unfinished uploads", () => {
  it("takes a few records, and reclaim steps of bounded work without the retention", async () => {
    for (const kind of ["close-session", "expire-sessions"] as const) {
      const machine = await TestStateMachine.make();
      machine.run(stage("u", [sealed("a"), ...references(4_999)]));
      machine.run(...Array.from({ length: 500 }, (_, index) => stage(`v${index}`, references(2))));
      await machine.namespace.flush();
      const { nowMs, sessionId } = machine;
      assertOk(machine.apply({ kind, nowMs, sessionId, sessionIds: [sessionId] }));
      assert.ok(machine.namespace.changedCount <= 8, `${machine.namespace.changedCount} records`);
      let steps = 0;
      while (machine.namespace.reclaimPending(nowMs)) {
        await flushed(machine);
        assertOk(machine.apply({ kind: "reclaim", nowMs, recordsMax: 1_000 }));
        const changed = machine.namespace.changedCount;
        assert.ok(changed <= 1_010, `a step changed ${changed} records`);
        steps += 1;
      }
      assert.ok(steps >= 8 && steps < 30, `${steps} steps`);
      const { stagedBytes, chunkCount, historyVersions } = machine.namespace.counters();
      assert.deepEqual([stagedBytes, chunkCount, historyVersions], [0, 0, 0]);
      await flushed(machine);
    }
  });

  it("is released in a cluster restored from a backup, which has no sessions", async () => {
    const machine = await TestStateMachine.make();
    machine.run(stage("u", [sealed("a")]));
    machine.run(stage("v", [sealed("b")]));
    machine.openSession();
    machine.run(stage("u", [sealed("a")]));
    machine.closeSession();
    const copy = await restoredFrom(await backupOf(machine, 3));
    checkInvariants(copy.store);
    assert.equal(copy.namespace.counters().stagedBytes, 3 * MIB);
    assert.deepEqual(copy.namespace.sessions({ after: null, limit: 1_000 }), []);
    copy.nowMs = machine.nowMs;
    copy.reclaimAll();
    assert.equal(copy.namespace.counters().stagedBytes, 0);
    assert.equal(copy.namespace.counters().chunkCount, 0);
    await flushed(copy);
    checkInvariants(copy.store);
  });
});
