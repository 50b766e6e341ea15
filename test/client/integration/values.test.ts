import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import type { FileSystem } from "../../../client/file-system.ts";
import { targetOf } from "../../../client/names/target.ts";
import { isAshlarError } from "../../../shared/base/errors.ts";
import type { SessionId } from "../../../shared/base/ids.ts";
import { SlabPool } from "../../../shared/flow/slabs.ts";
import { type Operation, openSession } from "../../../shared/protocol/namespace-api.ts";
import { transact } from "../../../shared/protocol/transact-api.ts";
import { ConnectionPool } from "../../../shared/wire/connection-pool.ts";
import { MemoryLog } from "../../support/wire-fixture.ts";
import { LoopbackCluster, makeEnv } from "../support/loopback-cluster.ts";

const TIME_MS_MAX = 8.64e15;
const TIMES_REFUSED = [
  -1e20,
  1e20,
  TIME_MS_MAX + 1,
  -TIME_MS_MAX - 1,
  Number.NaN,
  Number.NEGATIVE_INFINITY,
];
const TIMES_ACCEPTED = [0, -1, -0.5, 0.1, 1_700_000_000_000.123, TIME_MS_MAX, -TIME_MS_MAX, 1e-9];
const REFUSED: Readonly<Record<string, readonly number[]>> = {
  mode: [-1, 0o10000, 0.5, Number.NaN],
  uid: [-1, 2 ** 32 - 1, 2 ** 32, 1.5, Number.NaN],
  gid: [-1, 2 ** 32 - 1, 2 ** 32, 1.5, Number.NaN],
  mtimeMs: TIMES_REFUSED,
  atimeMs: TIMES_REFUSED,
};
const ACCEPTED: Readonly<Record<string, readonly number[]>> = {
  mode: [0, 0o7777],
  uid: [0, 2 ** 32 - 2],
  gid: [0, 2 ** 32 - 2],
  mtimeMs: TIMES_ACCEPTED,
  atimeMs: TIMES_ACCEPTED,
};
/** Every call of the library with such values, and the values that it has. */
const CALLS: Readonly<
  Record<string, { keys: readonly string[]; call: (fs: FileSystem, values: object) => unknown }>
> = {
  mkdir: { keys: ["mode", "uid", "gid"], call: (fs, values) => fs.mkdir("/d/new", values) },
  create: { keys: ["mode", "uid", "gid"], call: (fs, values) => fs.create("/d/new", values) },
  copy: { keys: ["uid", "gid"], call: (fs, values) => fs.copy("/d/f", "/d/new", values) },
  setAttributes: {
    keys: ["mode", "uid", "gid", "mtimeMs", "atimeMs"],
    call: (fs, values) => fs.setAttributes("/d/f", values),
  },
  "setAttributes of a directory": {
    keys: ["mode", "uid", "gid", "mtimeMs", "atimeMs"],
    call: (fs, values) => fs.setAttributes("/d", values),
  },
  writeFile: {
    keys: ["mode", "uid", "gid", "mtimeMs"],
    call: (fs, values) => fs.writeFile("/d/new", "text", values),
  },
  createWriteStream: {
    keys: ["mode", "uid", "gid", "mtimeMs"],
    call: (fs, values) =>
      new Promise((resolve, reject) => {
        fs.createWriteStream("/d/new", values).on("error", reject).on("finish", resolve).end("a");
      }),
  },
  "put of a transaction": {
    keys: ["mode", "uid", "gid", "mtimeMs"],
    call: (fs, values) => fs.transaction().put("/d/new", "text", values).commit(),
  },
};

describe("the values of attributes", () => {
  let cluster: LoopbackCluster;
  let fs: FileSystem;

  before(async () => {
    cluster = await LoopbackCluster.start(0);
    fs = await cluster.connect();
    await fs.mkdir("/d");
    await fs.create("/d/f");
  });
  after(() => cluster[Symbol.asyncDispose]());

  /** Reads everything that shows attributes. */
  async function readAll(): Promise<void> {
    await fs.stat("/d");
    for await (const { name } of fs.list("/")) assert.ok(name.length > 0);
    for await (const { attributes } of fs.walk("/")) {
      assert.equal(new Date(attributes.mtimeMs).getTime(), Math.trunc(attributes.mtimeMs) + 0);
    }
  }

  for (const [name, { keys, call }] of Object.entries(CALLS)) {
    it(`of ${name} outside of their range are refused with the name of the value`, async () => {
      for (const key of keys) {
        for (const value of REFUSED[key] ?? []) {
          await assert.rejects(
            async () => call(fs, { [key]: value }),
            (error) =>
              isAshlarError(error, "INVALID_ARGUMENT") &&
              error.message.includes(`expected ${key} to be `) &&
              error.message.endsWith(`current value is ${value}`),
            `${key}: ${value}`,
          );
        }
      }
      await readAll();
    });
  }

  it("are read as they were set, at the ends of their ranges and with fractions", async () => {
    for (const path of ["/d", "/d/f"]) {
      for (const [key, values] of Object.entries(ACCEPTED)) {
        for (const value of values) {
          await fs.setAttributes(path, { [key]: value });
          const { [key]: found } = { ...(await fs.stat(path)) } as Record<string, unknown>;
          assert.equal(found, value, `${path} ${key}`);
        }
      }
    }
    await readAll();
  });

  it("are refused by the masters too, for clients of any version", async () => {
    const env = makeEnv(new MemoryLog());
    const slabs = new SlabPool({ bytesMax: 2 ** 20, idleBytesMax: 0 });
    await using pool = new ConnectionPool(
      { ...env, slabs },
      { identity: () => ({ role: "client", clusterId: null, name: "test" }) },
    );
    const address = cluster.masterAddresses[0] as string;
    const options = { timeoutMs: 10_000 };
    const opened = await pool.call(address, openSession, { clientName: "test" }, options);
    const { sessionId } = opened.head;
    opened.release();
    const target = targetOf("/d/f");
    const owner = { mode: 0, uid: 0, gid: 0, replace: true };
    const content = { kind: "inline", bytes: new Uint8Array(1) } as const;
    const operations: readonly Operation[] = [
      { kind: "set-attributes", target, mtimeMs: -1e20 },
      { kind: "set-attributes", target, atimeMs: 1e20 },
      { kind: "put", target, content, ...owner, mtimeMs: 1e20 },
      {
        kind: "commit-chunks",
        target,
        sizeBytesExpected: 0,
        sizeBytes: 0,
        changes: [],
        mtimeMs: 1e20,
      },
    ];
    for (const [position, operation] of operations.entries()) {
      const request = {
        sessionId: sessionId as SessionId,
        firstUnacknowledged: 1,
        transactions: [{ sequence: position + 1, preconditions: [], operations: [operation] }],
      };
      const response = await pool.call(address, transact, request, options);
      response.release();
      assert.ok(isAshlarError(response.head.outcomes[0], "INVALID_ARGUMENT"), operation.kind);
    }
    await readAll();
  });

  it("of a past state must be a time or a duration that exists", async () => {
    for (const timeMs of TIMES_REFUSED) {
      await assert.rejects(fs.asOf({ timeMs }), { code: "INVALID_ARGUMENT" }, `${timeMs}`);
      await assert.rejects(fs.stat("/", { at: { timeMs } }), { code: "INVALID_ARGUMENT" });
    }
    for (const agoMs of [-1, Number.NaN, 1e20]) {
      await assert.rejects(fs.asOf({ agoMs }), { code: "INVALID_ARGUMENT" }, `${agoMs}`);
    }
    await fs.asOf({ agoMs: 0.5 });
  });
});
