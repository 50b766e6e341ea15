import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import type { NamespaceOperation } from "../../../master/namespace/command.ts";
import type { FeedEvent } from "../../../shared/protocol/feed-api.ts";
import { eventsFrom, FeedModel, linesOf, position } from "./feed-model.ts";
import {
  assertOk,
  at,
  chunksContent,
  DAY_MS,
  inline,
  OWNER,
  sealed,
  TestStateMachine,
} from "./harness.ts";
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

/** Returns an event as text: "created /a", "renamed /a -> /b". */
function lineOf(event: FeedEvent): string {
  const from = event.kind === "renamed" ? `${text(event.from.path)} -> ` : "";
  return `${event.kind} ${from}${text(event.path)}`;
}

/** Returns the events from `index` on that concern `path`, as text. */
function lines(machine: TestStateMachine, index: number, path = "/"): string[] {
  return eventsFrom(machine.namespace, position(index), { path }).events.map(lineOf);
}

const newModel = (): FeedModel => new FeedModel({ mode: 0o755, storageClass: "standard" });

describe("the change feed (G15)", () => {
  it("is read at its end in one range, for one watcher and for all", async (test) => {
    const machine = await TestStateMachine.make();
    for (let number = 0; number < 20; number += 1) machine.run(createFile(`/${number}`));
    await machine.namespace.flush();
    const from = position(machine.index);
    const range = test.mock.method(machine.store, "range");
    assert.equal(machine.namespace.feedPlaces({ from, rowsMax: 256 })?.places.length, 1);
    assert.equal(range.mock.callCount(), 1);
    assert.deepEqual(lines(machine, machine.index), ["created /19"]);
    assert.equal(range.mock.callCount(), 2);
  });

  it("rebuilds the tree of every index after random operations", async () => {
    const steps = fc.array(step, { minLength: 1, maxLength: 30 });
    await fc.assert(
      fc.asyncProperty(steps, fc.integer({ min: 1, max: 5 }), async (list, rowsMax) => {
        const machine = await TestStateMachine.make();
        const model = newModel();
        let next = position(0);
        for (const planned of list) {
          await runStep(machine, planned);
          const page = eventsFrom(machine.namespace, next, { rowsMax });
          for (const event of page.events) model.apply(event);
          next = page.next;
          assert.deepEqual(model.lines(), linesOf(machine.namespace));
        }
        replayFromStart(machine, rowsMax);
        await machine.namespace.flush();
        checkInvariants(machine.store);
      }),
      { numRuns: 200 },
    );
  });

  it("filters the events of a subtree even after renames of directories above it", async () => {
    const steps = fc.array(step, { minLength: 1, maxLength: 30 });
    const paths = fc.constantFrom("/a", "/a/b", "/b/a", "/a/b/a", "/b/c\u00e9/a");
    await fc.assert(
      fc.asyncProperty(steps, paths, async (list, path) => {
        const machine = await TestStateMachine.make();
        for (const planned of list) {
          await runStep(machine, planned);
        }
        const all = eventsFrom(machine.namespace, position(0), { rowsMax: 100 }).events;
        const some = eventsFrom(machine.namespace, position(0), { path, rowsMax: 2 }).events;
        assert.deepEqual(
          some,
          all.filter((event) => concerns(event, path)),
        );
      }),
      { numRuns: 200 },
    );
  });

  it("has the events in the order of the operations, with the paths at each operation", async () => {
    const machine = await TestStateMachine.make();
    const content = chunksContent(sealed("a"));
    const start = machine.run(makeDirectory("/a/b"), createFile("/a/b/f"));
    machine.run({ kind: "put", target: at("/a/g"), content, replace: true, ...OWNER });
    machine.run(putText("/a/g", "other"));
    // Events before the directory moves, while it has another name, and after its tree is removed.
    machine.run(
      unlink("/a/g"),
      rename("/a", "/z"),
      createFile("/z/b/h"),
      rename("/z/b/h", "/h"),
      removeTree("/z"),
      createFile("/z"),
    );
    machine.run({ kind: "set-attributes", target: at("/h"), mode: 0o600 });
    machine.run(rename("/z", "/h"));
    assert.deepEqual(lines(machine, start), [
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

  it("has the renames and removals of directories above a watched path", async () => {
    const machine = await TestStateMachine.make();
    const start = machine.run(makeDirectory("/a/b"), makeDirectory("/x"));
    machine.run(createFile("/a/other"), createFile("/a/b/f"));
    machine.run(rename("/a", "/c"));
    machine.run(createFile("/c/b/unseen"));
    machine.run(rename("/c", "/x/a"));
    machine.run(rename("/x", "/y"));
    machine.run(rename("/y/a", "/a"));
    machine.run(removeTree("/a"));
    assert.deepEqual(lines(machine, start, "/a/b"), [
      "created /a/b",
      "created /a/b/f",
      "renamed /a -> /c",
      "renamed /y/a -> /a",
      "removed /a",
    ]);
    assert.deepEqual(lines(machine, start, "/x/a/b"), ["renamed /c -> /x/a", "renamed /x -> /y"]);
  });

  it("has an event for the attributes that a copy or a restore sets", async () => {
    const machine = await TestStateMachine.make();
    machine.run(putText("/f", "one"), putText("/g", "two"));
    const old = machine.run({ kind: "set-attributes", target: at("/f"), mode: 0o600, uid: 7 });
    const model = newModel();
    const copy = { kind: "copy", from: at("/f"), to: at("/g"), uid: 0, gid: 0 } as const;
    const start = machine.run({ ...copy, replace: true, preserve: true });
    machine.run({ kind: "set-attributes", target: at("/f"), mode: 0o644 });
    const restored = { from: at("/f"), to: at("/f"), index: old, replace: true } as const;
    machine.run({ kind: "restore", ...restored });
    assert.deepEqual(lines(machine, start), [
      "content /g",
      "attributes /g",
      "attributes /f",
      "content /f",
      "attributes /f",
    ]);
    for (const event of eventsFrom(machine.namespace, position(0)).events) model.apply(event);
    assert.deepEqual(model.lines(), linesOf(machine.namespace));
  });

  it("has no events of refused transactions, retries and reclaims", async () => {
    const machine = await TestStateMachine.make();
    const first = machine.run(makeDirectory("/d"));
    const attempt = machine.nextAttempt();
    const operations: NamespaceOperation[] = [createFile("/d/f"), createFile("/d/g")];
    const transact = { kind: "transact", nowMs: machine.nowMs, preconditions: [] } as const;
    assertOk(machine.apply({ ...transact, attempt, operations }));
    assertOk(machine.apply({ ...transact, attempt, operations }));
    assert.ok(!machine.transact([createFile("/d/new"), createFile("/d/f")]).ok);
    const removal = machine.run(removeTree("/d"));
    assert.deepEqual(lines(machine, first), [
      "created /d",
      "created /d/f",
      "created /d/g",
      "removed /d",
    ]);
    machine.expireAndReclaim();
    assert.deepEqual(lines(machine, removal + 1), []);
  });

  it("continues after any event, with the rest of the event's entry", async () => {
    const machine = await TestStateMachine.make();
    const start = machine.run(createFile("/a"), createFile("/b"), createFile("/c"));
    machine.run(createFile("/d"));
    const { events, next } = eventsFrom(machine.namespace, position(start));
    assert.deepEqual(next, position(machine.index + 1));
    for (const [number, event] of events.entries()) {
      const after = eventsFrom(machine.namespace, position(event.index, event.sequence + 1));
      assert.deepEqual(after.events, events.slice(number + 1));
    }
  });
});

describe("the feed's retention", () => {
  it("refuses a position with dropped events and returns the oldest complete index", async () => {
    const machine = await TestStateMachine.make();
    const first = machine.run(createFile("/a"));
    machine.nowMs += DAY_MS / 2;
    const second = machine.run(createFile("/b"), createFile("/c"));
    machine.nowMs += DAY_MS / 4;
    const third = machine.run(createFile("/d"));
    machine.reclaimAll();
    assert.deepEqual(lines(machine, first).length, 4);

    // The history starts with the state after the second entry. Positions up to this entry are
    // refused at once, before their events are dropped one by one.
    machine.nowMs += (DAY_MS * 7) / 8;
    let steps = 0;
    while (machine.namespace.reclaimPending(machine.nowMs)) {
      assertOk(machine.apply({ kind: "reclaim", nowMs: machine.nowMs, recordsMax: 1 }));
      steps += 1;
      const oldestIndex = machine.namespace.oldestFeedIndex();
      assert.equal(oldestIndex, second + 1);
      for (const index of [first, second]) {
        const expired = { code: "INDEX_EXPIRED", details: { oldestIndex } };
        assert.throws(() => lines(machine, index), expired);
      }
      assert.deepEqual(lines(machine, oldestIndex), ["created /d"]);
      assert.deepEqual(lines(machine, third), ["created /d"]);
    }
    assert.ok(steps >= 3, `${steps} steps`);
  });

  it("accepts a position while no later event was dropped", async () => {
    const machine = await TestStateMachine.make();
    machine.run(createFile("/a"));
    const { next } = eventsFrom(machine.namespace, position(0));
    machine.expireAndReclaim();
    assert.ok(machine.namespace.oldestReadableIndex() >= next.index);
    assert.deepEqual(eventsFrom(machine.namespace, next).events, []);
    machine.run(createFile("/b"));
    assert.deepEqual(lines(machine, next.index), ["created /b"]);
  });

  it("stays below its bound in bytes by dropping the oldest events", async () => {
    const machine = await TestStateMachine.make({ bootstrap: { feedBytesMax: 1_000 } });
    const start = machine.run(makeDirectory("/d"));
    for (let file = 0; file < 50; file += 1) machine.run(createFile(`/d/${file}`));
    assert.ok(machine.namespace.reclaimPending(machine.nowMs));
    const steps = machine.reclaimAll(10);
    assert.ok(steps >= 5, `${steps} steps`);
    const oldest = machine.namespace.oldestFeedIndex();
    assert.ok(oldest > start);
    const kept = lines(machine, oldest);
    assert.ok(kept.length >= 10 && kept.length <= 20, `${kept.length} events are kept`);
    assert.equal(kept.at(-1), "created /d/49");
    assert.throws(() => lines(machine, start), { code: "INDEX_EXPIRED" });
    await machine.namespace.flush();
    checkInvariants(machine.store);
  });
});

/** Runs a step. Skips reclaims, so that no event is dropped. */
async function runStep(machine: TestStateMachine, planned: Step): Promise<void> {
  if (planned.kind === "transact") {
    machine.transact(planned.operations.map((plan) => plan(machine.index)));
  } else if (planned.kind === "flush") await machine.namespace.flush();
  else if (planned.kind === "restart") machine.restart();
}

/** Replays all events after the last operation and compares the tree at the end of each entry. */
function replayFromStart(machine: TestStateMachine, rowsMax: number): void {
  const model = newModel();
  const { events } = eventsFrom(machine.namespace, position(0), { rowsMax });
  for (const [number, event] of events.entries()) {
    model.apply(event);
    if (events[number + 1]?.index === event.index) continue;
    assert.deepEqual(model.lines(), linesOf(machine.namespace, event.index));
  }
}

/** Returns whether an event concerns a path, computed from the paths of the event alone. */
function concerns(event: FeedEvent, path: string): boolean {
  // Events of unfinished trees have no path.
  const eventPaths = [event.path, event.kind === "renamed" ? event.from.path : null]
    .filter((each) => each !== null)
    .map(text);
  const affectsSubtree = event.kind === "renamed" || event.kind === "removed";
  return eventPaths.some((eventPath) => {
    const isBelow = eventPath === path || eventPath.startsWith(`${path}/`);
    return (
      isBelow ||
      (affectsSubtree && event.inodeKind === "directory" && path.startsWith(`${eventPath}/`))
    );
  });
}
