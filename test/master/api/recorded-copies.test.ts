import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { CopyPages, PAGE_CHUNKS } from "../../../master/api/recorded-copies.ts";
import type { ChunkId, LogIndex } from "../../../shared/base/ids.ts";
import { confirmChunks, findCopies, listCopies } from "../../../shared/protocol/fleet-api.ts";
import { VirtualClock } from "../../support/virtual-clock.ts";
import { hasCode } from "../../support/wire-fixture.ts";
import {
  at,
  chunkId,
  chunksContent,
  OWNER,
  sealed,
  serverId,
  TestStateMachine,
} from "../namespace/harness.ts";
import { connectionOf, FleetLeader } from "./fleet-fixture.ts";

/** Chunks in one file: an entry has a bounded number. */
const CHUNKS_PER_FILE = 500;

/** A leader with which s1 has registered. Its state records `count` chunks on s1 and s2. */
async function makeLeader(count: number) {
  const machine = await TestStateMachine.make();
  const ids: ChunkId[] = [];
  for (let file = 0; ids.length < count; file += 1) {
    const chunks = Array.from({ length: Math.min(CHUNKS_PER_FILE, count - ids.length) }, () => {
      ids.push(chunkId(`c${ids.length}`));
      return sealed(`c${ids.length - 1}`, { servers: ["s1", "s2"], intentIndex: machine.index });
    });
    const content = chunksContent(...chunks);
    machine.run({ kind: "put", target: at(`/f${file}`), content, replace: false, ...OWNER });
  }
  const leader = new FleetLeader(machine);
  const connection = connectionOf("s1");
  await leader.register(connection, "s1");
  const list = (after: ChunkId | null) =>
    leader.call(connection, listCopies, { serverId: serverId("s1"), after });
  const find = (chunkIds: ChunkId[]) =>
    leader.call(connection, findCopies, { serverId: serverId("s1"), chunkIds });
  return { leader, machine, connection, ids, list, find };
}

describe("fleet.list-copies", () => {
  it("returns all chunks of the server in pages, in the order of their ids", async () => {
    const { machine, ids, list } = await makeLeader(2 * PAGE_CHUNKS + 1);
    const found: ChunkId[] = [];
    const sizes: number[] = [];
    for (let after: ChunkId | null = null, hasMore = true; hasMore; ) {
      const page = await list(after);
      found.push(...page.chunkIds);
      sizes.push(page.chunkIds.length);
      assert.equal(page.index, machine.index);
      ({ hasMore } = page);
      after = page.chunkIds.at(-1) ?? null;
    }
    assert.deepEqual(found, ids.toSorted());
    assert.deepEqual(sizes, [PAGE_CHUNKS, PAGE_CHUNKS, 1]);
  });

  it("has pages of a bounded number of rows, of which it reads no others", async () => {
    const { machine, list } = await makeLeader(PAGE_CHUNKS + 1);
    const limits: number[] = [];
    const { namespace } = machine;
    const chunksOfServer = namespace.chunksOfServer.bind(namespace);
    namespace.chunksOfServer = (server, after, limit) => {
      limits.push(limit);
      return chunksOfServer(server, after, limit);
    };
    namespace.chunk = () => assert.fail("a page reads no chunk");
    await list(null);
    assert.deepEqual(limits, [PAGE_CHUNKS]);
  });

  it("spreads the pages of servers that ask together", async () => {
    const clock = new VirtualClock();
    const pages = new CopyPages(clock);
    const chunkIds = Array.from({ length: PAGE_CHUNKS }, (_, number) => chunkId(`c${number}`));
    const state = {
      ...{ appliedIndex: 1 as LogIndex, chunk: () => undefined },
      chunksOfServer: () => chunkIds,
    };
    const ask = (): number => pages.page(state, serverId("s1"), null).pauseMs;
    const pauses = Array.from({ length: 100 }, ask);
    const spacings = pauses.slice(1).map((pauseMs, index) => pauseMs - (pauses[index] ?? 0));
    assert.ok(Math.min(...spacings) >= 20, `each has a time of its own: ${pauses}`);
    assert.equal(Math.max(...Array.from({ length: 5_000 }, ask)), 60_000, "none waits longer");
    await clock.advance(60_000);
    assert.ok(ask() <= 50, "the times that have passed are free");
  });
});

describe("fleet.find-copies", () => {
  it("returns the recorded intents, and only of copies on the server", async () => {
    const { machine, find } = await makeLeader(2);
    const intentIndex = machine.index;
    const other = sealed("other", { servers: ["s2", "s3"], intentIndex });
    const content = chunksContent(other);
    machine.run({ kind: "put", target: at("/other"), content, replace: false, ...OWNER });
    const items = [{ chunkId: chunkId("c1"), serverId: serverId("s1"), intentIndex }];
    machine.apply({ kind: "add-replicas", items });
    const { copies } = await find(["c0", "c1", "other", "unknown"].map((name) => chunkId(name)));
    assert.deepEqual(copies, [
      { chunkId: chunkId("c0"), intentIndex: 2 as LogIndex },
      { chunkId: chunkId("c1"), intentIndex },
    ]);
  });
});

describe("fleet.confirm-chunks", () => {
  /** Calls `task` when the leader reads a chunk, which takes 30 µs of virtual time. */
  function onReadChunk({ clock, machine: { namespace } }: FleetLeader, task: () => void): void {
    const chunk = namespace.chunk.bind(namespace);
    namespace.chunk = (id) => {
      task();
      clock.stall(0.03);
      return chunk(id);
    };
  }

  it("decides on a bounded number of chunks in a turn, and gives all verdicts in order", async () => {
    const { leader, machine, connection, ids } = await makeLeader(1_000);
    const confirmed = machine.index;
    const chunks = ids.map((each) => ({ chunkId: each, intentIndex: confirmed }));
    chunks[700] = { chunkId: chunkId("unknown"), intentIndex: confirmed };
    const rowsOfTurns = [0];
    onReadChunk(leader, () => rowsOfTurns.push((rowsOfTurns.pop() ?? 0) + 1));
    const yieldTurn = leader.clock.yieldTurn.bind(leader.clock);
    leader.clock.yieldTurn = () => {
      rowsOfTurns.push(0);
      return yieldTurn();
    };
    const asked = leader.call(connection, confirmChunks, { serverId: serverId("s1"), chunks });
    const { verdicts } = await leader.clock.advanceFor(asked, "all verdicts");
    assert.ok(Math.max(...rowsOfTurns) <= 400, `rows in each turn: ${rowsOfTurns.join(", ")}`);
    assert.equal(verdicts.length, chunks.length);
    assert.deepEqual(
      [verdicts.indexOf("undecided"), verdicts.lastIndexOf("undecided")],
      [700, 700],
    );
  });

  it("ends with NOT_LEADER if the leader changes between two turns", async () => {
    const { leader, machine, connection, ids } = await makeLeader(1_000);
    const chunks = ids.map((each) => ({ chunkId: each, intentIndex: machine.index }));
    onReadChunk(leader, () => {});
    leader.clock.after(0, () => {
      leader.isLeader = false;
    });
    const asked = leader.call(connection, confirmChunks, { serverId: serverId("s1"), chunks });
    await assert.rejects(leader.clock.advanceFor(asked, "an answer"), hasCode("NOT_LEADER"));
  });
});

describe("the questions of a chunkserver about its copies", () => {
  it("are answered only on the connection on which it has registered", async () => {
    const { leader, connection } = await makeLeader(1);
    const requests = {
      list: { serverId: serverId("s2"), after: null },
      find: { serverId: serverId("s2"), chunkIds: [] },
    };
    const foreign = hasCode("WRONG_IDENTITY");
    await assert.rejects(leader.call(connection, listCopies, requests.list), foreign);
    await assert.rejects(leader.call(connection, findCopies, requests.find), foreign);
    const unknown = connectionOf("s2");
    await assert.rejects(leader.call(unknown, listCopies, requests.list), hasCode("NOT_FOUND"));
    await assert.rejects(leader.call(unknown, findCopies, requests.find), hasCode("NOT_FOUND"));
  });
});
