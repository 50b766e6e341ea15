import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { FileSystem } from "../../../client/file-system.ts";
import { targetOf } from "../../../client/names/target.ts";
import type { WatchCursor } from "../../../client/options.ts";
import type { WatchEvent } from "../../../client/results.ts";
import { AshlarError } from "../../../shared/base/errors.ts";
import type { LogIndex } from "../../../shared/base/ids.ts";
import { SlabPool } from "../../../shared/flow/slabs.ts";
import { type FeedPosition, watch } from "../../../shared/protocol/feed-api.ts";
import { connect as connectWire } from "../../../shared/wire/connect.ts";
import { MemoryLog } from "../../support/wire-fixture.ts";
import { eventually, LoopbackCluster, makeEnv } from "../support/loopback-cluster.ts";

const FAST = { electionTimeoutMsMin: 300, heartbeatIntervalMs: 50 } as const;

const text = (bytes: Uint8Array | null): string => new TextDecoder().decode(bytes ?? undefined);
const cursorText = ({ index, sequence }: WatchCursor): string => `${index}:${sequence}`;

/** Reads `count` events, then ends the watch. */
async function readEvents(
  fileSystem: FileSystem,
  path: string,
  options: { readonly from: number | WatchCursor; readonly count: number },
): Promise<WatchEvent[]> {
  const events: WatchEvent[] = [];
  for await (const event of fileSystem.watch(path, { from: options.from })) {
    events.push(event);
    if (events.length === options.count) break;
  }
  return events;
}

/** Opens the feed of one master and resolves with the error that ends it. Tries no other master. */
async function endOfFeed(
  address: string,
  { from, onMessage }: { readonly from: FeedPosition; readonly onMessage: () => void },
): Promise<string> {
  const env = { ...makeEnv(new MemoryLog()), slabs: new SlabPool({ bytesMax: 1024 * 1024 }) };
  const identity = { role: "client", clusterId: null, name: "test" } as const;
  try {
    const connection = await connectWire(env, address, { identity, timeoutMs: 5_000 });
    const path = new TextEncoder().encode("/d");
    const open = { path, heartbeatMs: 500, from };
    const stream = connection.open(watch, open, { timeoutMs: 30_000 });
    for (;;) {
      const message = await stream.receive();
      if (message === null) return "the end of the stream";
      message.release();
      onMessage();
    }
  } catch (error) {
    if (!(error instanceof AshlarError)) throw error;
    return `${error.code} ${error.message}`;
  }
}

describe("watch", () => {
  it("delivers every event once and in order to a slow consumer when the leader stops", async () => {
    await using cluster = await LoopbackCluster.start(0, { masterCount: 3, ...FAST });
    const writer = await cluster.connect();
    const { index: from } = await writer.mkdir("/d");
    const watcher = await cluster.connect();
    const seen: WatchEvent[] = [];
    let wake: () => void = () => {};
    const watching = (async () => {
      for await (const event of watcher.watch("/d", { from })) {
        seen.push(event);
        wake();
        if (text(event.name) === "last") return;
        // The consumer is slower than the writer: undelivered events wait at the master.
        if (seen.length % 50 === 0) await new Promise((resolve) => setImmediate(resolve));
      }
    })();
    const expected: string[] = ["/d"];
    const make = async (name: string): Promise<void> => {
      await writer.create(`/d/${name}`);
      expected.push(`/d/${name}`);
    };
    for (let file = 0; file < 100; file += 1) await make(`before-${file}`);
    while (seen.length < 20) {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
    const leader = cluster.masters.leader();
    assert.ok(leader !== undefined);
    const stopped = leader.stop();
    for (let file = 0; file < 100; file += 1) await make(`after-${file}`);
    await stopped;
    await make("last");
    await watching;
    assert.deepEqual(
      seen.map((event) => event.path),
      expected,
    );
    const cursors = seen.map(cursorText);
    assert.equal(new Set(cursors).size, cursors.length);
  });

  it("continues at masters that are not in its config when the configured master stops", async () => {
    await using cluster = await LoopbackCluster.start(0, { masterCount: 3, ...FAST });
    const writer = await cluster.connect();
    const { index: from } = await writer.mkdir("/d");
    const [only] = cluster.masterAddresses;
    assert.ok(only !== undefined);
    // The watcher makes no other call that could fetch the addresses of the other masters.
    const watcher = await cluster.connect({ masters: [only] });
    const events = watcher.watch("/d", { from, timeoutMs: 5_000 })[Symbol.asyncIterator]();
    const first = await events.next();
    assert.equal(first.done === true ? null : first.value.path, "/d");
    await cluster.masters.members[0]?.stop();
    await writer.create("/d/later");
    const second = await events.next();
    assert.equal(second.done === true ? null : second.value.path, "/d/later");
    await events.return?.();
  });

  it("buffers at most one window for an idle consumer, and delivers all events later", async () => {
    await using cluster = await LoopbackCluster.start(0, FAST);
    const writer = await cluster.connect();
    const { index: from } = await writer.mkdir("/d");
    const watcher = await cluster.connect();
    const events = watcher.watch("/d", { from })[Symbol.asyncIterator]();
    assert.equal((await events.next()).value?.path, "/d");
    // More bytes than the stream window: the master waits, and sends the rest when there is room.
    const owner = { mode: 0o644, uid: 0, gid: 0 };
    const names = Array.from({ length: 4_000 }, (_, file) => `/d/${`${file}-`.padEnd(200, "x")}`);
    const targets = names.map((name) => targetOf(name));
    for (let start = 0; start < targets.length; start += 1_000) {
      const some = targets.slice(start, start + 1_000);
      await writer.transact(some.map((target) => ({ kind: "create", target, ...owner })));
    }
    const paths: string[] = [];
    while (paths.length < names.length) {
      const { value } = await events.next();
      assert.ok(value !== undefined);
      paths.push(value.path ?? "");
    }
    await events.return?.();
    assert.deepEqual(paths, names);
  });

  it("is ended with an error by a master that stops, and by a master without a leader", async () => {
    const settings = { masterCount: 3, stopGraceMs: 2_000, ...FAST };
    await using cluster = await LoopbackCluster.start(0, settings);
    const writer = await cluster.connect();
    const { index } = await writer.mkdir("/d");
    await writer[Symbol.asyncDispose]();
    const from = { index: index as LogIndex, sequence: 0 };
    const [first, second, third] = cluster.masters.members;
    assert.ok(first !== undefined && second !== undefined && third !== undefined);
    let isBegun = false;
    const begin = (): void => {
      isBegun = true;
    };
    const ends: string[] = [];
    const watching = (async () => {
      // On a slow machine the master may lose contact with the leader for a moment.
      while (!ends.some((end) => end.includes("master is stopping")) && ends.length < 1_000) {
        ends.push(await endOfFeed(first.address, { from, onMessage: begin }));
      }
    })();
    await eventually("the feed has delivered a message", () => isBegun);
    await first.stop();
    await watching;
    assert.match(ends.at(-1) ?? "", /master is stopping/);
    await second.stop();
    const end = await endOfFeed(third.address, { from, onMessage: () => {} });
    assert.match(end, /^NO_LEADER/);
  });

  it("continues from the cursor of any event with exactly the following events", async () => {
    await using cluster = await LoopbackCluster.start(0, FAST);
    const fileSystem = await cluster.connect();
    const { index: from } = await fileSystem.mkdir("/a/b/c", { parents: true });
    await fileSystem.rename("/a/b", "/b");
    await fileSystem.removeTree("/b");
    const all = await readEvents(fileSystem, "/", { from, count: 5 });
    assert.deepEqual(
      all.map(({ kind, path }) => `${kind} ${path}`),
      ["created /a", "created /a/b", "created /a/b/c", "renamed /b", "removed /b"],
    );
    for (const [number, event] of all.slice(0, -1).entries()) {
      const rest = await readEvents(fileSystem, "/", { from: event.next, count: 4 - number });
      assert.deepEqual(rest.map(cursorText), all.slice(number + 1).map(cursorText));
    }
  });

  it("advances its cursor without events, and delivers no event before its start", async () => {
    await using cluster = await LoopbackCluster.start(0, FAST);
    const fileSystem = await cluster.connect();
    await fileSystem.mkdir("/quiet");
    const stop = new AbortController();
    const { signal } = stop;
    const cursors: WatchCursor[] = [];
    const watch = fileSystem.watch("/quiet", {
      signal,
      onProgress: (next) => {
        cursors.push(next);
        if (cursors.length === 1)
          fileSystem.mkdir("/elsewhere").catch((error) => stop.abort(error));
        if (next.index > (cursors[0]?.index ?? 0)) stop.abort();
      },
    });
    assert.equal(watch.cursor, null);
    const events: WatchEvent[] = [];
    const reading = (async () => {
      for await (const event of watch) events.push(event);
    })();
    await assert.rejects(reading, { code: "CANCELLED" });
    assert.deepEqual(events, []);
    assert.deepEqual(watch.cursor, cursors.at(-1));
  });

  it("rejects a position beyond the log, and ends when the file system is closed", async () => {
    await using cluster = await LoopbackCluster.start(0, FAST);
    const fileSystem = await cluster.connect();
    const { index } = await fileSystem.mkdir("/d");
    await assert.rejects(readEvents(fileSystem, "/", { from: index + 1_000_000, count: 1 }), {
      code: "INVALID_ARGUMENT",
    });
    await assert.rejects(readEvents(fileSystem, "relative", { from: index, count: 1 }), {
      code: "INVALID_ARGUMENT",
    });
    const other = await cluster.connect();
    const reading = readEvents(other, "/", { from: index, count: 2 });
    await readEvents(fileSystem, "/", { from: index, count: 1 });
    const ended = assert.rejects(reading, { code: "CANCELLED" });
    await other[Symbol.asyncDispose]();
    await ended;
  });

  it("reports the oldest index when it starts before the retention", async () => {
    const settings = { ...FAST, historyRetentionMs: 1_000 };
    await using cluster = await LoopbackCluster.start(0, settings);
    const fileSystem = await cluster.connect();
    const { index: from } = await fileSystem.mkdir("/old");
    const { running } = cluster.masters.members[0] ?? assert.fail("the cluster has a master");
    while (running.namespace().oldestFeedIndex() <= from) {
      await running.consensus.waitApplied((running.namespace().appliedIndex + 1) as never, 10_000);
    }
    await assert.rejects(readEvents(fileSystem, "/", { from, count: 1 }), (error: unknown) => {
      assert.ok(error instanceof Error && "code" in error && "details" in error);
      assert.equal(error.code, "INDEX_EXPIRED");
      const { oldestIndex } = error.details as { oldestIndex: number };
      assert.ok(oldestIndex > from, `${oldestIndex} is after ${from}`);
      return true;
    });
  });
});
