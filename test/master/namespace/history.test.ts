import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { LogIndex } from "../../../shared/base/ids.ts";
import type { EntryName } from "../../../shared/base/path.ts";
import {
  at,
  BOOTSTRAP,
  chunksContent,
  DAY_MS,
  dump,
  inline,
  OWNER,
  Replica,
  SECOND_MS,
  sealed,
} from "./harness.ts";

const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
const putText = (path: string, content: string) =>
  ({ kind: "put", target: at(path), content: inline(content), replace: true, ...OWNER }) as const;
const createFile = (path: string) => ({ kind: "create", target: at(path), ...OWNER }) as const;
const isHistory = (line: string): boolean => line.startsWith("68");

describe("reading the past", () => {
  it("shows one index in all pages of a listing, whatever changes between them (G12)", async () => {
    const replica = await Replica.make();
    for (const name of ["a", "b", "c", "d", "e", "f"]) replica.run(createFile(`/${name}`));
    const index = replica.index;
    const names: string[] = [];
    let after: EntryName | undefined;
    for (let page = 0; page < 3; page += 1) {
      const { entries, isLast } = replica.namespace.list(at("/"), { after, limit: 2 }, index);
      names.push(...entries.map(({ name }) => text(name)));
      assert.equal(isLast, page === 2);
      after = entries.at(-1)?.name;
      replica.run({ kind: "unlink", target: at(["/c", "/a", "/f"][page] as string) });
      replica.run(createFile(`/bb${page}`), createFile(`/zz${page}`));
      if (page === 0) await replica.namespace.flush();
    }
    assert.deepEqual(names, ["a", "b", "c", "d", "e", "f"]);
  });

  it("keeps the order of names where one begins with another", async () => {
    const replica = await Replica.make();
    const paths = ["/a", "/a\u0001", "/a!", "/aa", "/b"];
    for (const path of paths) replica.run(createFile(path));
    const index = replica.index;
    for (const path of ["/a", "/a!", "/aa"]) replica.run({ kind: "unlink", target: at(path) });
    for (let limit = 1; limit <= 6; limit += 1) {
      const names: string[] = [];
      let after: EntryName | undefined;
      for (;;) {
        const { entries, isLast } = replica.namespace.list(at("/"), { after, limit }, index);
        names.push(...entries.map(({ name }) => `/${text(name)}`));
        if (isLast) break;
        after = entries.at(-1)?.name;
      }
      assert.deepEqual(names, paths);
    }
  });

  it("keeps a reader's version of a file over replacement, rename and removal (G7, G11)", async () => {
    const replica = await Replica.make();
    const content = chunksContent(sealed("a"), sealed("b", { lengthBytes: 5 }));
    const index = replica.run({ kind: "put", target: at("/f"), content, replace: true, ...OWNER });
    const { inode } = replica.namespace.stat(at("/f"));
    const everything = { firstPosition: 0, count: 10 };
    const opened = replica.namespace.locate({ inode }, everything);
    replica.run(putText("/f", "other"));
    replica.run({ kind: "rename", from: at("/f"), to: at("/g"), noReplace: false });
    replica.run({ kind: "unlink", target: at("/g") });
    assert.deepEqual(replica.namespace.locate({ inode }, everything, index), opened);
    assert.throws(() => replica.namespace.locate({ inode }, everything), { code: "NOT_FOUND" });
    assert.deepEqual(
      replica.namespace.locate({ inode }, { firstPosition: 1, count: 1 }, index).chunks,
      [opened.chunks[1]],
    );
  });

  it("knows the gap between two files that had one name", async () => {
    const replica = await Replica.make();
    const unlink = { kind: "unlink", target: at("/f") } as const;
    const first = replica.run(createFile("/f"));
    const gap = replica.run(unlink);
    const second = replica.run(createFile("/f"));
    replica.run(unlink);
    const inodeAt = (index: LogIndex) => replica.namespace.stat(at("/f"), index).inode;
    assert.ok(inodeAt(first) < inodeAt(second));
    assert.throws(() => inodeAt(gap), { code: "NOT_FOUND" });
    assert.throws(() => inodeAt((first - 1) as LogIndex), { code: "NOT_FOUND" });
  });

  it("keeps versions for the retention, then refuses and names the oldest index", async () => {
    const replica = await Replica.make();
    const first = replica.run(putText("/f", "one"));
    replica.nowMs += DAY_MS / 2;
    const second = replica.run(putText("/f", "two"));
    replica.nowMs += DAY_MS / 4;
    const third = replica.run(putText("/f", "three"));
    const read = (index: LogIndex): string => {
      const part = replica.namespace.locate(at("/f"), { firstPosition: 0, count: 1 }, index);
      return text(part.inlineBytes ?? new Uint8Array());
    };
    replica.reclaimAll();
    assert.deepEqual([first, second, third].map(read), ["one", "two", "three"]);

    // What stood in the file when the retention began is readable still.
    replica.nowMs += DAY_MS / 2;
    replica.reclaimAll();
    assert.equal(read(first), "one");

    replica.nowMs += DAY_MS / 4;
    replica.reclaimAll();
    assert.equal(replica.namespace.oldestReadableIndex(), second);
    assert.throws(() => read(first), {
      code: "INDEX_EXPIRED",
      details: { oldestIndex: second, oldestTimeMs: BOOTSTRAP.nowMs + DAY_MS / 2 },
    });
    assert.deepEqual([second, third].map(read), ["two", "three"]);
  });

  it("refuses an index that was not applied yet", async () => {
    const replica = await Replica.make();
    const next = (replica.index + 1) as LogIndex;
    assert.throws(() => replica.namespace.stat(at("/"), next), { code: "INVALID_ARGUMENT" });
  });

  it("leaves no history of files that are made, and one version for each that goes", async () => {
    const replica = await Replica.make();
    replica.run({ kind: "make-directory", target: at("/d"), parents: false, ...OWNER });
    for (let file = 0; file < 100; file += 1) replica.run(createFile(`/d/${file}`));
    await replica.namespace.flush();
    assert.equal(dump(replica.store).filter(isHistory).length, 0);
    replica.run({ kind: "unlink", target: at("/d/7") });
    await replica.namespace.flush();
    assert.equal(dump(replica.store).filter(isHistory).length, 2);
  });

  it("says of a directory's times and count what they are now", async () => {
    const replica = await Replica.make();
    replica.run({ kind: "make-directory", target: at("/d"), parents: false, ...OWNER });
    const index = replica.index;
    replica.nowMs += SECOND_MS;
    replica.run(createFile("/d/f"));
    const then = replica.namespace.stat(at("/d"), index);
    const now = replica.namespace.stat(at("/d"));
    assert.equal(then.kind === "directory" && then.entryCount, 1);
    assert.equal(then.mtimeMs, replica.nowMs);
    assert.equal(then.version, index);
    assert.equal(now.version, replica.index);
  });

  it("takes the leader's time as monotone", async () => {
    const replica = await Replica.make();
    replica.nowMs += DAY_MS;
    replica.run(createFile("/a"));
    replica.nowMs -= 2 * DAY_MS;
    replica.run(createFile("/b"));
    const times = ["/a", "/b"].map((path) => replica.namespace.stat(at(path)).ctimeMs);
    assert.deepEqual(times, [BOOTSTRAP.nowMs + DAY_MS, BOOTSTRAP.nowMs + DAY_MS]);
  });

  it("keeps the time table small over weeks", async () => {
    const replica = await Replica.make();
    for (let hour = 0; hour < 500; hour += 1) {
      replica.nowMs += 3600 * SECOND_MS;
      replica.apply({ kind: "keep-session", nowMs: replica.nowMs, sessionId: replica.sessionId });
    }
    await replica.namespace.flush();
    const rows = dump(replica.store).filter((line) => line.startsWith("77"));
    assert.ok(rows.length <= 26, `${rows.length} rows for a retention of 24 hours`);
  });
});
