import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as v from "valibot";
import { AshlarError, isAshlarError } from "../../../shared/base/errors.ts";
import { defineCall, defineStream } from "../../../shared/protocol/method.ts";
import { BY_CHUNK_USERS } from "../../../shared/protocol/roles.ts";
import { connect } from "../../../shared/wire/connect.ts";
import type { Connection, Stream } from "../../../shared/wire/rpc.ts";
import { EARLY_BODY_BYTES_MAX, RpcServer } from "../../../shared/wire/rpc-server.ts";
import { CLIENT, hasCode, memoryFixture, SERVER } from "../../support/wire-fixture.ts";

const MIB = 1024 * 1024;
const OPTIONS = { timeoutMs: 60_000 };
/** Largest sum of early bodies of one connection. */
const CONNECTION_BYTES = EARLY_BODY_BYTES_MAX / 4;

const put = defineCall("test.put", BY_CHUNK_USERS, v.object({}), v.object({}));

const upload = defineStream("test.upload", BY_CHUNK_USERS, {
  open: v.object({ receives: v.boolean() }),
  up: v.object({}),
  down: v.object({}),
});

/** A server whose handler receives messages at once, or never. */
class UploadServer implements AsyncDisposable {
  readonly fixture = memoryFixture({ slabBytesMax: 512 * MIB });
  readonly server: RpcServer;
  readonly #connections: Connection[] = [];
  address = "";
  receivedCount = 0;

  constructor() {
    this.server = new RpcServer(this.fixture.server, { identity: () => SERVER });
    this.server.onCall(put, (request, context) => {
      const release = (): void => request.release();
      context.signal.addEventListener("abort", release); // It has no answer.
      return new Promise(() => {});
    });
    this.server.onStream(upload, async (request, stream, context) => {
      request.release();
      while (request.head.receives) {
        const message = await stream.receive();
        if (message === null) return;
        this.receivedCount += 1;
        message.release();
      }
      await new Promise((resolve) => context.signal.addEventListener("abort", resolve));
    });
  }

  static async start(): Promise<UploadServer> {
    const started = new UploadServer();
    started.address = await started.server.listen(started.fixture.address);
    return started;
  }

  get slabBytes(): number {
    return this.fixture.server.slabs.acquiredBytes;
  }

  async connect(): Promise<Connection> {
    const { client } = this.fixture;
    const opening = connect(client, this.address, { identity: CLIENT, timeoutMs: 5_000 });
    const connection = await this.fixture.settle(opening);
    this.#connections.push(connection);
    return connection;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.fixture.settle(Promise.all(this.#connections.map((each) => each.close(0))));
    await this.fixture.settle(this.server.close(0));
  }
}

/** Sends messages of 1 MiB. @returns the error of the stream, or null if all were accepted */
async function send(
  { fixture }: UploadServer,
  stream: Stream<object, object>,
  count: number,
): Promise<unknown> {
  const body = new Uint8Array(MIB);
  const sends = Array.from({ length: count }, () => stream.send({}, body));
  const failure = stream.receive().then(
    () => null,
    (error: unknown) => error,
  );
  for (const each of sends) each.catch(() => {}); // `receive` reports the error.
  await fixture.clock.advance(1_000);
  return await Promise.race([failure, Promise.resolve(null)]);
}

describe("bodies that no handler has asked for", () => {
  it("take a bounded part of the memory: a stream beyond it ends with OVERLOADED", async () => {
    await using server = await UploadServer.start();
    let refusedCount = 0;
    for (let connectionCount = 0; connectionCount < 6; connectionCount += 1) {
      const connection = await server.connect();
      for (let count = 0; count < 6; count += 1) {
        const stream = connection.open(upload, { receives: false }, OPTIONS);
        const error = await send(server, stream, 4);
        if (error === null) continue;
        assert.ok(hasCode("OVERLOADED")(error));
        refusedCount += 1;
      }
      assert.ok(server.slabBytes <= EARLY_BODY_BYTES_MAX, `${server.slabBytes} bytes`);
    }
    assert.equal(refusedCount, 36 - EARLY_BODY_BYTES_MAX / (4 * MIB));
  });

  it("leave room for one connection after another has taken its share", async () => {
    await using server = await UploadServer.start();
    const [greedy, other] = [await server.connect(), await server.connect()];
    for (let sentBytes = 0; sentBytes < CONNECTION_BYTES; sentBytes += 4 * MIB) {
      const stream = greedy.open(upload, { receives: false }, OPTIONS);
      assert.equal(await send(server, stream, 4), null);
    }
    const refused = greedy.open(upload, { receives: false }, OPTIONS);
    assert.ok(hasCode("OVERLOADED")(await send(server, refused, 1)));
    assert.equal(await send(server, other.open(upload, { receives: false }, OPTIONS), 4), null);
  });

  it("count with the whole slabs that they take, also as parts of requests", async () => {
    await using server = await UploadServer.start();
    const connection = await server.connect();
    const body = new Uint8Array(5_000); // Its slab has 8 KiB.
    let refusedCount = 0;
    for (let count = 0; count < 3_000; count += 1) {
      connection.call(put, {}, { ...OPTIONS, body }).catch((error: unknown) => {
        if (isAshlarError(error, "OVERLOADED")) refusedCount += 1;
      });
    }
    await server.fixture.clock.advance(5_000);
    assert.equal(server.slabBytes, CONNECTION_BYTES);
    assert.equal(refusedCount, 3_000 - CONNECTION_BYTES / 8_192);
  });

  it("do not count once the handler receives, and give their memory back", async () => {
    await using server = await UploadServer.start();
    const connection = await server.connect();
    const received = connection.open(upload, { receives: true }, OPTIONS);
    assert.equal(await send(server, received, 200), null);
    assert.equal(server.receivedCount, 200);
    for (let round = 0; round < 8; round += 1) {
      const stream = connection.open(upload, { receives: false }, OPTIONS);
      assert.equal(await send(server, stream, 6), null);
      assert.equal(server.slabBytes, 6 * MIB);
      stream.end();
      stream.cancel(new AshlarError("CANCELLED", "The test has seen enough"));
      await server.fixture.clock.advance(10);
      assert.equal(server.slabBytes, 0);
    }
  });
});
