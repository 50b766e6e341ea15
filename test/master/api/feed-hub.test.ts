import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { FeedHub, type WaitEnd } from "../../../master/api/feed-hub.ts";
import type { MasterDeps } from "../../../master/api/leader-context.ts";
import { watchedPathOf } from "../../../master/namespace/watched-path.ts";
import { AshlarError } from "../../../shared/base/errors.ts";
import type { FeedPosition } from "../../../shared/protocol/feed-api.ts";
import { hasCode } from "../../support/wire-fixture.ts";
import { at, OWNER, TestStateMachine } from "../namespace/harness.ts";

const DUE_MS = 10_000;

const makeDirectory = (path: string) =>
  ({ kind: "make-directory", target: at(path), parents: false, ...OWNER }) as const;

/** A hub over a real state machine. The test says when entries are applied and what time it is. */
async function makeHub({ sleep = async () => {} }: { sleep?: () => Promise<void> } = {}) {
  const machine = await TestStateMachine.make();
  let onApplied: { resolve(): void; reject(error: unknown): void } | null = null;
  let nowMs = 0;
  let reads = 0;
  const consensus = {
    waitApplied: () =>
      new Promise<void>((resolve, reject) => {
        onApplied = { resolve, reject };
      }),
  };
  const env = { clock: { monotonicMs: () => nowMs, yieldTurn: async () => {}, sleep } };
  const namespace = () => {
    const { namespace: state } = machine;
    const feedPlaces: typeof state.feedPlaces = (request) => {
      reads += 1;
      return state.feedPlaces(request);
    };
    return { appliedIndex: state.appliedIndex, feedPlaces };
  };
  const hub = new FeedHub({ consensus, env, namespace } as unknown as MasterDeps);
  const ends = new Map<string, WaitEnd>();
  const turn = () => new Promise((resolve) => setImmediate(resolve));
  const wait = (path: string, next: FeedPosition, dueMs = DUE_MS) => {
    const within = watchedPathOf(path.split("/").filter((name) => name !== ""));
    const waiting = hub.wait({ within, next, dueMs });
    waiting.end.then(
      (end) => ends.set(path, end),
      () => {},
    );
    return waiting;
  };
  return {
    machine,
    ends,
    wait,
    reads: () => reads,
    now: (): FeedPosition => ({ index: (machine.index + 1) as never, sequence: 0 }),
    turn,
    async applied() {
      onApplied?.resolve();
      await turn();
    },
    async failed(error: unknown) {
      onApplied?.reject(error);
      await turn();
    },
    async timePasses(ms: number) {
      nowMs += ms;
      onApplied?.reject(new AshlarError("DEADLINE_EXCEEDED", "The deadline has passed"));
      await turn();
    },
  };
}

describe("the feed of many watchers", () => {
  it("is read once for an entry that concerns one of 2,000", async () => {
    const { machine, ends, wait, reads, now, applied } = await makeHub();
    for (const path of ["/a", "/b"]) machine.run(makeDirectory(path));
    for (let each = 0; each < 2_000; each += 1) wait(`/b/${each}`, now());
    wait("/a", now());
    const position = now();
    machine.run({ kind: "create", target: at("/a/f"), ...OWNER });
    await applied();
    assert.deepEqual([...ends], [["/a", { next: position, hasEvents: true }]]);
    assert.ok(reads() <= 2, `${reads()} reads`);
  });

  it("is read once for the entries of a few milliseconds", async () => {
    let endSleep = (): void => {};
    const sleep = () =>
      new Promise<void>((resolve) => {
        endSleep = resolve;
      });
    const { machine, ends, wait, reads, now, applied, turn } = await makeHub({ sleep });
    machine.run(makeDirectory("/a"));
    wait("/b", now());
    wait("/c", now());
    machine.run(makeDirectory("/b"));
    await applied();
    assert.deepEqual([...ends.keys()], ["/b"], "the first entry is read at once");
    for (let number = 0; number < 50; number += 1) {
      machine.run({ kind: "create", target: at(`/a/${number}`), ...OWNER });
      await applied();
    }
    const position = now();
    machine.run(makeDirectory("/c"));
    await applied();
    assert.equal(reads(), 1);
    endSleep();
    await turn();
    assert.equal(reads(), 2);
    assert.deepEqual(ends.get("/c"), { next: position, hasEvents: true });
  });

  it("wakes the watchers below a directory that is moved or removed", async () => {
    const { machine, ends, wait, now, applied } = await makeHub();
    for (const path of ["/a", "/a/b", "/c"]) machine.run(makeDirectory(path));
    for (const path of ["/a/b/c", "/d/b", "/c/x", "/other"]) wait(path, now());
    machine.run({ kind: "rename", from: at("/a"), to: at("/d"), noReplace: true });
    await applied();
    assert.deepEqual([...ends.keys()].sort(), ["/a/b/c", "/d/b"]);
    machine.run({ kind: "remove-tree", target: at("/c") });
    await applied();
    assert.ok(ends.has("/c/x"));
    assert.ok(!ends.has("/other"));
  });

  it("continues a watcher after the events that did not concern it when its heartbeat is due", async () => {
    const { machine, ends, wait, now, applied, timePasses } = await makeHub();
    wait("/a", now());
    machine.run({ kind: "create", target: at("/f"), ...OWNER });
    await applied();
    assert.equal(ends.size, 0);
    await timePasses(DUE_MS);
    assert.deepEqual(ends.get("/a"), { next: now(), hasEvents: false });
  });

  it("looks at no other watcher to find the due ones", async () => {
    const { ends, wait, now, timePasses } = await makeHub();
    let looks = 0;
    const later = {
      valueOf() {
        looks += 1;
        return 100 * DUE_MS;
      },
    };
    for (let each = 0; each < 2_000; each += 1) wait(`/b/${each}`, now(), later as never);
    wait("/a", now());
    const looksOfWaits = looks;
    for (let ms = 0; ms < DUE_MS; ms += 100) await timePasses(100);
    assert.deepEqual([...ends.keys()], ["/a"]);
    assert.equal(looks, looksOfWaits);
  });

  it("lets a watcher read again that waits from before the events that the hub has read", async () => {
    const { machine, ends, wait, now, applied } = await makeHub();
    const before = now();
    wait("/b", now());
    machine.run({ kind: "create", target: at("/a"), ...OWNER });
    await applied();
    wait("/a", before);
    await applied();
    assert.deepEqual(ends.get("/a"), { next: before, hasEvents: true });
  });

  it("wakes a watcher that comes at any time while the last one is woken", async () => {
    for (let depth = 0; depth < 16; depth += 1) {
      const { machine, ends, wait, now, applied } = await makeHub();
      machine.run(makeDirectory("/a"));
      wait("/a", now());
      machine.run({ kind: "create", target: at("/a/f"), ...OWNER });
      const applying = applied();
      for (let count = 0; count < depth; count += 1) await Promise.resolve();
      wait("/b", now());
      await applying;
      const position = now();
      machine.run(makeDirectory("/b"));
      await applied();
      assert.deepEqual(ends.get("/b"), { next: position, hasEvents: true }, `${depth} microtasks`);
    }
  });

  it("ends all waits when this master no longer applies entries", async () => {
    const { wait, now, failed } = await makeHub();
    const first = wait("/a", now());
    await failed(new AshlarError("UNAVAILABLE", "This master is stopping"));
    await assert.rejects(first.end, hasCode("UNAVAILABLE"));
    const second = wait("/a", now());
    await failed(new AshlarError("UNAVAILABLE", "This master is stopping"));
    await assert.rejects(second.end, hasCode("UNAVAILABLE"));
  });

  it("reads nothing once no watcher waits", async () => {
    const { machine, wait, now, reads, applied } = await makeHub();
    wait("/a", now()).cancel();
    await applied();
    const before = reads();
    machine.run({ kind: "create", target: at("/f"), ...OWNER });
    await applied();
    assert.equal(reads(), before);
  });
});
