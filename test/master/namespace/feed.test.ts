import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import type { NamespaceOperation } from "../../../master/namespace/command.ts";
import type { FeedEvent } from "../../../shared/protocol/feed-api.ts";
import { eventsFrom, FeedModel, linesOf, position } from "./feed-model.ts";
import { assertOk, at, chunksContent, DAY_MS, inline, OWNER, Replica, sealed } from "./harness.ts";
import { checkInvariants } from "./invariants.ts";
import { type Step, step } from "./random-operations.ts";

const makeDirectory = (path: string) =>
  ({ kind: "make-directory", target: at(path), parents: true, ...OWNER }) as const;
const createFile = (path: string) => ({ kind: "create", target: at(path), ...OWNER }) as const;
const putText = (path: string, content: string) =>
  ({ kind: "put", target: at(path), content: inline(content), replace: true, ...OWNER }) as const;
const rename = (from: string, to: string) =>
  ({ kind: "rename", from: at(from), to: at(to), noReplace: false }) as const;
const unlink = (path: string) => ({ kind: "unlink", target: at(path) }) as const;
const removeTree = (path: string) => ({ kind: "remove-tree", target: at(path) }) as const;

const text = (bytes: Uint8Array | null): string => new TextDecoder().decode(bytes ?? undefined);

/** "created /a", "renamed /a -> /b". */
function lineOf(event: FeedEvent): string {
  const from = event.kind === "renamed" ? `${text(event.from.path)} -> ` : "";
  return `${event.kind} ${from}${text(event.path)}`;
}

/** What the entries from `index` on say to who watches `path`. */
function lines(replica: Replica, index: number, path = "/"): string[] {
  return eventsFrom(replica.namespace, position(index), { path }).events.map(lineOf);
}

const newModel = (): FeedModel => new FeedModel({ mode: 0o755, storageClass: "standard" });

describe("the change feed (G15)", () => {
  it("makes the tree again, whatever was done to it, at every index", async () => {
    const steps = fc.array(step, { minLength: 1, maxLength: 30 });
    await fc.assert(
      fc.asyncProperty(steps, fc.integer({ min: 1, max: 5 }), async (list, rowsMax) => {
        const replica = await Replica.make();
        const model = newModel();
        let next = position(0);
        for (const wanted of list) {
          await runStep(replica, wanted);
          const page = eventsFrom(replica.namespace, next, { rowsMax });
          for (const event of page.events) model.apply(event);
          next = page.next;
          assert.deepEqual(model.lines(), linesOf(replica.namespace));
        }
        replayLate(replica, rowsMax);
        await replica.namespace.flush();
        checkInvariants(replica.store);
      }),
      { numRuns: 200 },
    );
  });

  it("tells of a subtree what one would pick from the whole, whatever was renamed above it", async () => {
    const steps = fc.array(step, { minLength: 1, maxLength: 30 });
    const paths = fc.constantFrom("/a", "/a/b", "/b/a", "/a/b/a", "/b/c\u00e9/a");
    await fc.assert(
      fc.asyncProperty(steps, paths, async (list, path) => {
        const replica = await Replica.make();
        for (const wanted of list) {
          await runStep(replica, wanted);
        }
        const all = eventsFrom(replica.namespace, position(0), { rowsMax: 100 }).events;
        const some = eventsFrom(replica.namespace, position(0), { path, rowsMax: 2 }).events;
        assert.deepEqual(
          some,
          all.filter((event) => concerns(event, path)),
        );
      }),
      { numRuns: 200 },
    );
  });

  it("says what happened, in the order of the operations, with the paths of that moment", async () => {
    const replica = await Replica.make();
    const content = chunksContent(sealed("a"));
    const start = replica.run(makeDirectory("/a/b"), createFile("/a/b/f"));
    replica.run({ kind: "put", target: at("/a/g"), content, replace: true, ...OWNER });
    replica.run(putText("/a/g", "other"));
    // Before the directory moves, while it is elsewhere, and after it was removed with its tree.
    replica.run(
      unlink("/a/g"),
      rename("/a", "/z"),
      createFile("/z/b/h"),
      rename("/z/b/h", "/h"),
      removeTree("/z"),
      createFile("/z"),
    );
    replica.run({ kind: "set-attributes", target: at("/h"), mode: 0o600 });
    replica.run(rename("/z", "/h"));
    assert.deepEqual(lines(replica, start), [
      "created /a",
      "created /a/b",
      "created /a/b/f",
      "created /a/g",
      "content /a/g",
      "removed /a/g",
      "renamed /a -> /z",
      "created /z/b/h",
      "renamed /z/b/h -> /h",
      "removed /z",
      "created /z",
      "attributes /h",
      "removed /h",
      "renamed /z -> /h",
    ]);
  });

  it("tells who watches a path of renames and removals of the directories above it", async () => {
    const replica = await Replica.make();
    const start = replica.run(makeDirectory("/a/b"), makeDirectory("/x"));
    replica.run(createFile("/a/other"), createFile("/a/b/f"));
    replica.run(rename("/a", "/c"));
    replica.run(createFile("/c/b/unseen"));
    replica.run(rename("/c", "/x/a"));
    replica.run(rename("/x", "/y"));
    replica.run(rename("/y/a", "/a"));
    replica.run(removeTree("/a"));
    assert.deepEqual(lines(replica, start, "/a/b"), [
      "created /a/b",
      "created /a/b/f",
      "renamed /a -> /c",
      "renamed /y/a -> /a",
      "removed /a",
    ]);
    assert.deepEqual(lines(replica, start, "/x/a/b"), ["renamed /c -> /x/a", "renamed /x -> /y"]);
  });

  it("tells of attributes that a copy or a restored version brings along", async () => {
    const replica = await Replica.make();
    replica.run(putText("/f", "one"), putText("/g", "two"));
    const old = replica.run({ kind: "set-attributes", target: at("/f"), mode: 0o600, uid: 7 });
    const model = newModel();
    const copy = { kind: "copy", from: at("/f"), to: at("/g"), uid: 0, gid: 0 } as const;
    const start = replica.run({ ...copy, replace: true, preserve: true });
    replica.run({ kind: "set-attributes", target: at("/f"), mode: 0o644 });
    const restored = { from: at("/f"), to: at("/f"), index: old, replace: true } as const;
    replica.run({ kind: "restore", ...restored });
    assert.deepEqual(lines(replica, start), [
      "content /g",
      "attributes /g",
      "attributes /f",
      "content /f",
      "attributes /f",
    ]);
    for (const event of eventsFrom(replica.namespace, position(0)).events) model.apply(event);
    assert.deepEqual(model.lines(), linesOf(replica.namespace));
  });

  it("tells nothing of what was refused, retried or reclaimed", async () => {
    const replica = await Replica.make();
    const first = replica.run(makeDirectory("/d"));
    const attempt = replica.nextAttempt();
    const operations: NamespaceOperation[] = [createFile("/d/f"), createFile("/d/g")];
    const transact = { kind: "transact", nowMs: replica.nowMs, preconditions: [] } as const;
    assertOk(replica.apply({ ...transact, attempt, operations }));
    assertOk(replica.apply({ ...transact, attempt, operations }));
    assert.ok(!replica.transact([createFile("/d/new"), createFile("/d/f")]).ok);
    const removal = replica.run(removeTree("/d"));
    assert.deepEqual(lines(replica, first), [
      "created /d",
      "created /d/f",
      "created /d/g",
      "removed /d",
    ]);
    replica.forget();
    assert.deepEqual(lines(replica, removal + 1), []);
  });

  it("goes on after any event, with the rest of an entry first", async () => {
    const replica = await Replica.make();
    const start = replica.run(createFile("/a"), createFile("/b"), createFile("/c"));
    replica.run(createFile("/d"));
    const { events, next } = eventsFrom(replica.namespace, position(start));
    assert.deepEqual(next, position(replica.index + 1));
    for (const [number, event] of events.entries()) {
      const after = eventsFrom(replica.namespace, position(event.index, event.sequence + 1));
      assert.deepEqual(after.events, events.slice(number + 1));
    }
  });
});

describe("the feed's retention", () => {
  it("refuses a position whose events are gone, and names the oldest that is whole", async () => {
    const replica = await Replica.make();
    const first = replica.run(createFile("/a"));
    replica.nowMs += DAY_MS / 2;
    const second = replica.run(createFile("/b"), createFile("/c"));
    replica.nowMs += DAY_MS / 4;
    const third = replica.run(createFile("/d"));
    replica.reclaimAll();
    assert.deepEqual(lines(replica, first).length, 4);

    // The history begins with the state after the second: what led there is refused at once, before
    // it is dropped one by one.
    replica.nowMs += (DAY_MS * 7) / 8;
    let steps = 0;
    while (replica.namespace.reclaimPending(replica.nowMs)) {
      assertOk(replica.apply({ kind: "reclaim", nowMs: replica.nowMs, recordsMax: 1 }));
      steps += 1;
      const oldestIndex = replica.namespace.oldestFeedIndex();
      assert.equal(oldestIndex, second + 1);
      for (const index of [first, second]) {
        const expired = { code: "INDEX_EXPIRED", details: { oldestIndex } };
        assert.throws(() => lines(replica, index), expired);
      }
      assert.deepEqual(lines(replica, oldestIndex), ["created /d"]);
      assert.deepEqual(lines(replica, third), ["created /d"]);
    }
    assert.ok(steps >= 3, `${steps} steps`);
  });

  it("keeps a position valid for as long as nothing was lost behind it", async () => {
    const replica = await Replica.make();
    replica.run(createFile("/a"));
    const { next } = eventsFrom(replica.namespace, position(0));
    replica.forget();
    assert.ok(replica.namespace.oldestReadableIndex() >= next.index);
    assert.deepEqual(eventsFrom(replica.namespace, next).events, []);
    replica.run(createFile("/b"));
    assert.deepEqual(lines(replica, next.index), ["created /b"]);
  });

  it("stays under its bound in bytes, and loses the oldest first", async () => {
    const replica = await Replica.make({ bootstrap: { feedBytesMax: 1_000 } });
    const start = replica.run(makeDirectory("/d"));
    for (let file = 0; file < 50; file += 1) replica.run(createFile(`/d/${file}`));
    assert.ok(replica.namespace.reclaimPending(replica.nowMs));
    const steps = replica.reclaimAll(10);
    assert.ok(steps >= 5, `${steps} steps`);
    const oldest = replica.namespace.oldestFeedIndex();
    assert.ok(oldest > start);
    const kept = lines(replica, oldest);
    assert.ok(kept.length >= 10 && kept.length <= 20, `${kept.length} events are kept`);
    assert.equal(kept.at(-1), "created /d/49");
    assert.throws(() => lines(replica, start), { code: "INDEX_EXPIRED" });
    await replica.namespace.flush();
    checkInvariants(replica.store);
  });
});

/** All but the reclaims: nothing is to be lost. */
async function runStep(replica: Replica, wanted: Step): Promise<void> {
  if (wanted.kind === "transact") {
    replica.transact(wanted.operations.map((plan) => plan(replica.index)));
  } else if (wanted.kind === "flush") await replica.namespace.flush();
  else if (wanted.kind === "restart") replica.restart();
}

/** From the first event to the last, long after they happened. */
function replayLate(replica: Replica, rowsMax: number): void {
  const model = newModel();
  const { events } = eventsFrom(replica.namespace, position(0), { rowsMax });
  for (const [number, event] of events.entries()) {
    model.apply(event);
    if (events[number + 1]?.index === event.index) continue;
    assert.deepEqual(model.lines(), linesOf(replica.namespace, event.index));
  }
}

/** The rule, said of paths alone. */
function concerns(event: FeedEvent, path: string): boolean {
  const places = [text(event.path), ...(event.kind === "renamed" ? [text(event.from.path)] : [])];
  const takesAlong = event.kind === "renamed" || event.kind === "removed";
  return places.some((place) => {
    const isIn = place === path || place.startsWith(`${path}/`);
    return isIn || (takesAlong && event.inodeKind === "directory" && path.startsWith(`${place}/`));
  });
}
