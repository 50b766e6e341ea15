import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Outcome } from "../../../master/namespace/command.ts";
import { checkLevel } from "../../../master/namespace/feature-levels.ts";
import { Namespace } from "../../../master/namespace/namespace.ts";
import type { LogIndex, SessionId } from "../../../shared/base/ids.ts";
import type { EntryName } from "../../../shared/base/path.ts";
import { HISTORY_RETENTION_MS_MAX } from "../../../shared/protocol/history-api.ts";
import {
  assertOk,
  at,
  BOOTSTRAP,
  chunksContent,
  DAY_MS,
  dump,
  hasher,
  inline,
  OWNER,
  SECOND_MS,
  sealed,
  TestStateMachine,
} from "./harness.ts";

const HOUR_MS = DAY_MS / 24;
const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
const putText = (path: string, content: string) =>
  ({ kind: "put", target: at(path), content: inline(content), replace: true, ...OWNER }) as const;
const createFile = (path: string) => ({ kind: "create", target: at(path), ...OWNER }) as const;
const isHistory = (line: string): boolean => line.startsWith("68");

describe("reads of the past", () => {
  it("show one index in all pages of a listing, despite changes between them (G12)", async () => {
    const machine = await TestStateMachine.make();
    for (const name of ["a", "b", "c", "d", "e", "f"]) machine.run(createFile(`/${name}`));
    const index = machine.index;
    const names: string[] = [];
    let after: EntryName | undefined;
    for (let page = 0; page < 3; page += 1) {
      const { entries, isLast } = machine.namespace.list(at("/"), { after, limit: 2 }, index);
      names.push(...entries.map(({ name }) => text(name)));
      assert.equal(isLast, page === 2);
      after = entries.at(-1)?.name;
      machine.run({ kind: "unlink", target: at(["/c", "/a", "/f"][page] as string) });
      machine.run(createFile(`/bb${page}`), createFile(`/zz${page}`));
      if (page === 0) await machine.namespace.flush();
    }
    assert.deepEqual(names, ["a", "b", "c", "d", "e", "f"]);
  });

  it("keep the order of names if one name is a prefix of another", async () => {
    const machine = await TestStateMachine.make();
    const paths = ["/a", "/a\u0001", "/a!", "/aa", "/b"];
    for (const path of paths) machine.run(createFile(path));
    const index = machine.index;
    for (const path of ["/a", "/a!", "/aa"]) machine.run({ kind: "unlink", target: at(path) });
    for (let limit = 1; limit <= 6; limit += 1) {
      const names: string[] = [];
      let after: EntryName | undefined;
      for (;;) {
        const { entries, isLast } = machine.namespace.list(at("/"), { after, limit }, index);
        names.push(...entries.map(({ name }) => `/${text(name)}`));
        if (isLast) break;
        after = entries.at(-1)?.name;
      }
      assert.deepEqual(names, paths);
    }
  });

  it("keep a reader's version of a file after replacement, rename and removal (G7, G11)", async () => {
    const machine = await TestStateMachine.make();
    const content = chunksContent(sealed("a"), sealed("b", { lengthBytes: 5 }));
    const index = machine.run({ kind: "put", target: at("/f"), content, replace: true, ...OWNER });
    const { inode } = machine.namespace.stat(at("/f"));
    const everything = { firstPosition: 0, count: 10 };
    const opened = machine.namespace.locate({ inode }, everything);
    machine.run(putText("/f", "other"));
    machine.run({ kind: "rename", from: at("/f"), to: at("/g"), noReplace: false });
    machine.run({ kind: "unlink", target: at("/g") });
    assert.deepEqual(machine.namespace.locate({ inode }, everything, index), opened);
    assert.throws(() => machine.namespace.locate({ inode }, everything), { code: "NOT_FOUND" });
    assert.deepEqual(
      machine.namespace.locate({ inode }, { firstPosition: 1, count: 1 }, index).chunks,
      [opened.chunks[1]],
    );
  });

  it("show no file between two files of the same name", async () => {
    const machine = await TestStateMachine.make();
    const unlink = { kind: "unlink", target: at("/f") } as const;
    const first = machine.run(createFile("/f"));
    const gap = machine.run(unlink);
    const second = machine.run(createFile("/f"));
    machine.run(unlink);
    const inodeAt = (index: LogIndex) => machine.namespace.stat(at("/f"), index).inode;
    assert.ok(inodeAt(first) < inodeAt(second));
    assert.throws(() => inodeAt(gap), { code: "NOT_FOUND" });
    assert.throws(() => inodeAt((first - 1) as LogIndex), { code: "NOT_FOUND" });
  });

  it("accept an index during the retention, then refuse it and return the oldest index", async () => {
    const machine = await TestStateMachine.make();
    const first = machine.run(putText("/f", "one"));
    machine.nowMs += DAY_MS / 2;
    const second = machine.run(putText("/f", "two"));
    machine.nowMs += DAY_MS / 4;
    const third = machine.run(putText("/f", "three"));
    const read = (index: LogIndex): string => {
      const part = machine.namespace.locate(at("/f"), { firstPosition: 0, count: 1 }, index);
      return text(part.inlineBytes ?? new Uint8Array());
    };
    machine.reclaimAll();
    assert.deepEqual([first, second, third].map(read), ["one", "two", "three"]);

    // The content at the start of the retention period is still readable.
    machine.nowMs += DAY_MS / 2;
    machine.reclaimAll();
    assert.equal(read(first), "one");

    machine.nowMs += DAY_MS / 4;
    machine.reclaimAll();
    assert.equal(machine.namespace.oldestReadableIndex(), second);
    assert.throws(() => read(first), {
      code: "INDEX_EXPIRED",
      details: { oldestIndex: second, oldestTimeMs: BOOTSTRAP.nowMs + DAY_MS / 2 },
    });
    assert.deepEqual([second, third].map(read), ["two", "three"]);
  });

  it("follow a retention that is changed, and never bring a forgotten state back", async () => {
    const machine = await TestStateMachine.make();
    const setRetention = (historyRetentionMs: number): Outcome => {
      const { nowMs } = machine;
      const attempt = machine.nextAttempt();
      return machine.apply({ kind: "set-history-retention", nowMs, attempt, historyRetentionMs });
    };
    const first = machine.run(putText("/f", "one"));
    machine.nowMs += HOUR_MS;
    const second = machine.run(putText("/f", "two"));
    machine.nowMs += HOUR_MS;
    assertOk(setRetention(HOUR_MS / 2));
    machine.reclaimAll();
    const inodeOf = (index: LogIndex) => machine.namespace.stat(at("/f"), index);
    assert.throws(() => inodeOf(first), { code: "INDEX_EXPIRED" });
    inodeOf(second);

    assertOk(setRetention(30 * DAY_MS));
    const third = machine.run(putText("/f", "three"));
    machine.nowMs += 20 * DAY_MS;
    machine.reclaimAll();
    for (const index of [second, third]) inodeOf(index);
    assert.throws(() => inodeOf(first), { code: "INDEX_EXPIRED" });
    assert.equal(machine.namespace.clusterFacts()?.historyRetentionMs, 30 * DAY_MS);

    for (const refused of [-1, HISTORY_RETENTION_MS_MAX + 1]) {
      const outcome = setRetention(refused);
      assert.ok(!outcome.ok && outcome.code === "INVALID_ARGUMENT");
    }
    // Another member gets the same state from the same log, also after a restart.
    await machine.namespace.flush();
    const reopened = Namespace.open({ store: machine.store, hasher });
    assert.equal(reopened.clusterFacts()?.historyRetentionMs, 30 * DAY_MS);
  });

  it("need feature level 4 to change the retention", () => {
    const attempt = { sessionId: 1 as SessionId, sequence: 1, firstUnacknowledged: 1 };
    const command = {
      kind: "set-history-retention",
      nowMs: 1,
      attempt,
      historyRetentionMs: 1,
    } as const;
    checkLevel(command, 4);
    assert.throws(() => checkLevel(command, 3), { code: "VERSION_MISMATCH" });
  });

  it("refuse an index that is not applied yet", async () => {
    const machine = await TestStateMachine.make();
    const next = (machine.index + 1) as LogIndex;
    assert.throws(() => machine.namespace.stat(at("/"), next), { code: "INVALID_ARGUMENT" });
  });

  it("need no history rows for a new file and two for a removed one", async () => {
    const machine = await TestStateMachine.make();
    machine.run({ kind: "make-directory", target: at("/d"), parents: false, ...OWNER });
    for (let file = 0; file < 100; file += 1) machine.run(createFile(`/d/${file}`));
    await machine.namespace.flush();
    assert.equal(dump(machine.store).filter(isHistory).length, 0);
    machine.run({ kind: "unlink", target: at("/d/7") });
    await machine.namespace.flush();
    assert.equal(dump(machine.store).filter(isHistory).length, 2);
  });

  it("show the current times and entry count of a directory", async () => {
    const machine = await TestStateMachine.make();
    machine.run({ kind: "make-directory", target: at("/d"), parents: false, ...OWNER });
    const index = machine.index;
    machine.nowMs += SECOND_MS;
    machine.run(createFile("/d/f"));
    const then = machine.namespace.stat(at("/d"), index);
    const now = machine.namespace.stat(at("/d"));
    assert.equal(then.kind === "directory" && then.entryCount, 1);
    assert.equal(then.mtimeMs, machine.nowMs);
    assert.equal(then.version, index);
    assert.equal(now.version, machine.index);
  });

  it("show monotone times if the leader's clock goes back", async () => {
    const machine = await TestStateMachine.make();
    machine.nowMs += DAY_MS;
    machine.run(createFile("/a"));
    machine.nowMs -= 2 * DAY_MS;
    machine.run(createFile("/b"));
    const times = ["/a", "/b"].map((path) => machine.namespace.stat(at(path)).ctimeMs);
    assert.deepEqual(times, [BOOTSTRAP.nowMs + DAY_MS, BOOTSTRAP.nowMs + DAY_MS]);
  });

  it("keep the time table small over weeks", async () => {
    const machine = await TestStateMachine.make();
    for (let hour = 0; hour < 500; hour += 1) {
      machine.nowMs += 3600 * SECOND_MS;
      machine.apply({ kind: "keep-session", nowMs: machine.nowMs, sessionId: machine.sessionId });
    }
    await machine.namespace.flush();
    const rows = dump(machine.store).filter((line) => line.startsWith("77"));
    assert.ok(rows.length <= 26, `${rows.length} rows for a retention of 24 hours`);
  });
});
