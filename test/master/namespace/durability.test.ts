import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { decodeCommand, encodeCommand } from "../../../master/namespace/command-encoding.ts";
import { Namespace } from "../../../master/namespace/namespace.ts";
import { AshlarError } from "../../../shared/base/errors.ts";
import type { LogIndex, SessionId } from "../../../shared/base/ids.ts";
import { MemoryStores } from "../../../shared/platform/memory-store.ts";
import type { OrderedReader, OrderedStore } from "../../../shared/ports/ordered-store.ts";
import { at, BOOTSTRAP, codeOf, dump, hasher, inline, OWNER, TestStateMachine } from "./harness.ts";

const createFile = (path: string) => ({ kind: "create", target: at(path), ...OWNER }) as const;
const exists = (namespace: Namespace, path: string): boolean => {
  try {
    return namespace.stat(at(path)) !== undefined;
  } catch {
    return false;
  }
};

/** A store whose commits wait for `release` after `close`, and fail once with `failNext`. */
class GatedStore {
  failNext: AshlarError | null = null;
  gate: Promise<void> = Promise.resolve();
  release: () => void = () => {};

  close(): void {
    this.gate = new Promise((resolve) => {
      this.release = resolve;
    });
  }

  async open(): Promise<OrderedStore> {
    const stores = new MemoryStores({
      beforeCommit: async () => {
        await this.gate;
        const error = this.failNext;
        this.failNext = null;
        if (error !== null) throw error;
      },
    });
    return stores.open("state");
  }
}

describe("bootstrap", () => {
  it("makes the root with mode 0755 and owner 0:0, and the default storage class", async () => {
    const machine = await TestStateMachine.make();
    const { kind, mode, uid, gid, inode, storageClass } = machine.namespace.stat(at("/"));
    assert.deepEqual(
      { kind, mode, uid, gid, inode, storageClass },
      {
        kind: "directory",
        mode: 0o755,
        uid: 0,
        gid: 0,
        inode: 1,
        storageClass: "standard",
      },
    );
    assert.deepEqual(machine.namespace.storageClasses(), [BOOTSTRAP.defaultClass]);
    const facts = machine.namespace.clusterFacts();
    assert.equal(facts?.clusterId, BOOTSTRAP.clusterId);
    assert.deepEqual(facts?.chunkKey, BOOTSTRAP.chunkKey);
  });

  it("is refused a second time, and every other command is refused before it", async () => {
    const machine = await TestStateMachine.empty();
    const open = { kind: "open-session", nowMs: 0, clientName: "early" } as const;
    assert.equal(codeOf(machine.apply(open)), "UNAVAILABLE");
    assert.equal(codeOf(machine.apply(BOOTSTRAP)), "ok");
    assert.equal(codeOf(machine.apply(BOOTSTRAP)), "ALREADY_EXISTS");
    assert.equal(machine.namespace.clusterFacts()?.clusterId, BOOTSTRAP.clusterId);
  });
});

describe("a refused bootstrap", () => {
  it("changes nothing in the state", async () => {
    const machine = await TestStateMachine.empty();
    const defaultClass = { ...BOOTSTRAP.defaultClass, copiesMin: 9 };
    assert.equal(codeOf(machine.apply({ ...BOOTSTRAP, defaultClass })), "INVALID_ARGUMENT");
    assert.equal(machine.namespace.clusterFacts(), undefined);
    assert.deepEqual(machine.namespace.storageClasses(), []);
    assert.equal(codeOf(machine.apply(BOOTSTRAP)), "ok");
  });
});

describe("flush and restart", () => {
  it("keeps index, term and membership of entries with and without a command", async () => {
    const machine = await TestStateMachine.empty();
    assert.equal(machine.applyData(new Uint8Array(), Uint8Array.of(1, 2, 3)), null);
    assert.equal(machine.applyData(new Uint8Array()), null);
    assert.equal(machine.namespace.durable.index, 0);
    await machine.namespace.flush();
    const { durable } = Namespace.open({ store: machine.store, hasher });
    assert.equal(durable.index, 2);
    assert.equal(durable.term, 1);
    assert.deepEqual(durable.membership, Uint8Array.of(1, 2, 3));
  });

  it("returns the same results from the overlay, during a flush and from the store", async () => {
    const gated = new GatedStore();
    const machine = await TestStateMachine.make({ store: await gated.open() });
    machine.run(createFile("/a"), createFile("/b"));
    gated.close();
    const flushed = machine.namespace.flush();
    machine.run(createFile("/c"), { kind: "unlink", target: at("/a") });
    const names = (namespace: Namespace): string[] =>
      namespace
        .list(at("/"), { limit: 10 })
        .entries.map(({ name }) => new TextDecoder().decode(name));
    assert.deepEqual(names(machine.namespace), ["b", "c"]);
    assert.equal(machine.namespace.durable.index, 0);
    gated.release();
    await flushed;
    assert.equal(machine.namespace.durable.index, 3);
    assert.deepEqual(names(machine.namespace), ["b", "c"]);
    assert.deepEqual(names(Namespace.open({ store: machine.store, hasher })), ["a", "b"]);
    await machine.namespace.flush();
    assert.deepEqual(names(Namespace.open({ store: machine.store, hasher })), ["b", "c"]);
    assert.equal(machine.namespace.unflushedBytes, 0);
  });

  it("keeps all changes for the next flush when the disk is full", async () => {
    const gated = new GatedStore();
    const machine = await TestStateMachine.make({ store: await gated.open() });
    machine.run(createFile("/a"));
    gated.failNext = new AshlarError("NO_SPACE", "Cannot commit: the disk is full");
    gated.close();
    const flushed = machine.namespace.flush();
    machine.run({ kind: "unlink", target: at("/a") }, createFile("/b"));
    gated.release();
    await assert.rejects(flushed, { code: "NO_SPACE" });
    assert.equal(machine.namespace.durable.index, 0);
    assert.ok(!exists(machine.namespace, "/a") && exists(machine.namespace, "/b"));

    await machine.namespace.flush();
    const other = await TestStateMachine.empty();
    for (const { data } of machine.log) other.applyData(data);
    await other.namespace.flush();
    assert.deepEqual(dump(machine.store), dump(other.store));
  });

  it("opens snapshots of the durable state with its index", async () => {
    const machine = await TestStateMachine.make();
    machine.run(createFile("/a"));
    await machine.namespace.flush();
    machine.run(createFile("/b"));
    const snapshot = machine.namespace.openSnapshot();
    await machine.namespace.flush();
    assert.equal(snapshot.index, 3);
    assert.deepEqual(snapshot.membership, new Uint8Array());
    const copy = await copyOf(snapshot.reader);
    snapshot.release();
    const namespace = Namespace.open({ store: copy, hasher });
    assert.ok(exists(namespace, "/a") && !exists(namespace, "/b"));
    const last = machine.log.at(-1);
    assert.ok(last !== undefined);
    namespace.apply(last);
    assert.ok(exists(namespace, "/b"));
  });

  it("rejects a store that has rows but no index", async () => {
    const store = await new MemoryStores().open("state");
    assert.equal(Namespace.open({ store, hasher }).appliedIndex, 0);
    await store.commit([{ key: Uint8Array.of(9), value: Uint8Array.of(1) }]);
    assert.throws(() => Namespace.open({ store, hasher }), { code: "STORE_CORRUPT" });
  });

  it("rejects a store whose position row is damaged", async () => {
    const machine = await TestStateMachine.make();
    await machine.namespace.flush();
    const key = new TextEncoder().encode("Ma");
    await machine.store.commit([{ key, value: Uint8Array.of(0x93, 1) }]);
    assert.throws(() => Namespace.open({ store: machine.store, hasher }), {
      code: "STORE_CORRUPT",
    });
  });

  it("refuses to skip an entry", async () => {
    const machine = await TestStateMachine.make();
    const index = (machine.index + 2) as LogIndex;
    const entry = { index, term: 1 as never, data: new Uint8Array(), membership: null };
    assert.throws(() => machine.namespace.apply(entry), /without gaps/);
  });
});

describe("commands", () => {
  it("are equal after encoding and decoding", () => {
    const command = {
      kind: "transact",
      nowMs: 1_700_000_000_123.5,
      attempt: { sessionId: (2 ** 40) as SessionId, sequence: 7, firstUnacknowledged: 3 },
      preconditions: [{ kind: "absent", target: at("/x") }],
      operations: [
        {
          kind: "put",
          target: at("/x"),
          content: inline("é"),
          replace: true,
          ...OWNER,
          mtimeMs: -1,
        },
      ],
    } as const;
    const back = decodeCommand(encodeCommand(command));
    assert.deepEqual(JSON.stringify(back), JSON.stringify(command, bytesAsBuffers));
  });

  it("are rejected with VERSION_MISMATCH if a newer version encoded them", () => {
    const data = encodeCommand({ kind: "open-session", nowMs: 1, clientName: "x" });
    data[0] = 2;
    assert.throws(() => decodeCommand(data), { code: "VERSION_MISMATCH" });
  });

  it("are copied into the state, without views of the log's memory", async () => {
    const machine = await TestStateMachine.make();
    const put = { kind: "put", target: at("/f"), content: inline("text"), replace: true } as const;
    machine.run({ ...put, ...OWNER });
    for (const { data } of machine.log) data.fill(0);
    const part = machine.namespace.locate(at("/f"), { firstPosition: 0, count: 1 });
    assert.equal(new TextDecoder().decode(part.inlineBytes ?? undefined), "text");
    assert.deepEqual(machine.namespace.clusterFacts()?.chunkKey, BOOTSTRAP.chunkKey);
  });

  it("are refused if an inline file is larger than the cluster's bound", async () => {
    const machine = await TestStateMachine.make();
    const content = { kind: "inline", bytes: new Uint8Array(4097) } as const;
    const put = { kind: "put", target: at("/f"), content, replace: true, ...OWNER } as const;
    assert.equal(codeOf(machine.transact([put])), "TOO_LARGE");
    const fits = { ...put, content: { kind: "inline", bytes: new Uint8Array(4096) } } as const;
    assert.equal(codeOf(machine.transact([fits])), "ok");
  });
});

async function copyOf(reader: OrderedReader): Promise<OrderedStore> {
  const store = await new MemoryStores().open("copy");
  const range = { start: Uint8Array.of(0), end: Uint8Array.of(255) };
  await store.commit([...reader.range(range)]);
  return store;
}

/** JSON replacer: converts a plain byte array to a Buffer, because decoding returns Buffers. */
function bytesAsBuffers(_key: string, value: unknown): unknown {
  if (value instanceof Uint8Array && !Buffer.isBuffer(value)) return Buffer.from(value);
  return value;
}
