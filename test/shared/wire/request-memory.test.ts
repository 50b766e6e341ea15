import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as v from "valibot";
import { defineCall } from "../../../shared/protocol/method.ts";
import { ANY_ROLE } from "../../../shared/protocol/roles.ts";
import { connect } from "../../../shared/wire/connect.ts";
import type { WireLimits } from "../../../shared/wire/limits.ts";
import type { Connection, PeerIdentity } from "../../../shared/wire/rpc.ts";
import { RpcServer, type RpcServerOptions } from "../../../shared/wire/rpc-server.ts";
import { CLIENT, hasCode, memoryFixture, SERVER } from "../../support/wire-fixture.ts";

const MIB = 1024 * 1024;
const wait = {
  ...defineCall("test.wait", ANY_ROLE, v.unknown(), v.object({})),
  requestBytesMax: 4 * MIB,
  requestWorkMax: 1_000_000,
};

/** A server whose calls wait until the test answers them. */
class WaitingServer implements AsyncDisposable {
  readonly fixture = memoryFixture();
  readonly server: RpcServer;
  readonly #connections: Connection[] = [];
  readonly #answers: (() => void)[] = [];
  readonly #errors: unknown[] = [];
  readonly #limits: Partial<WireLimits>;
  address = "";

  constructor(options: Partial<RpcServerOptions>) {
    this.#limits = { headBytesMax: 4 * MIB, ...options.limits };
    const all = { identity: () => SERVER, ...options, limits: this.#limits };
    this.server = new RpcServer(this.fixture.server, all);
    this.server.onCall(wait, async (request) => {
      request.release();
      await new Promise<void>((resolve) => this.#answers.push(resolve));
      return {};
    });
  }

  static async start(options: Partial<RpcServerOptions>): Promise<WaitingServer> {
    const started = new WaitingServer(options);
    started.address = await started.server.listen(started.fixture.address);
    return started;
  }

  async connect(identity: PeerIdentity = CLIENT): Promise<Connection> {
    const { client, settle } = this.fixture;
    const options = { identity, timeoutMs: 5_000, limits: this.#limits };
    const connection = await settle(connect(client, this.address, options));
    this.#connections.push(connection);
    return connection;
  }

  /** Calls `wait` several times. Returns the number of calls in progress: the others are OVERLOADED. */
  async call(connection: Connection, request: unknown, count: number): Promise<number> {
    const [waiting, refused] = [this.#answers.length, this.#errors.length];
    for (let sent = 0; sent < count; sent += 1) {
      const call = connection.call(wait, request, { timeoutMs: 60_000 });
      call.then(
        (response) => response.release(),
        (error: unknown) => this.#errors.push(error),
      );
    }
    await this.fixture.clock.advance(1_000);
    const errors = this.#errors.slice(refused);
    assert.ok(errors.every((error) => hasCode("OVERLOADED")(error)));
    const added = this.#answers.length - waiting;
    assert.equal(added + errors.length, count);
    return added;
  }

  async answerAll(): Promise<void> {
    for (const answer of this.#answers.splice(0)) answer();
    await this.fixture.clock.advance(1_000);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.answerAll();
    await this.fixture.settle(Promise.all(this.#connections.map((each) => each.close(0))));
    await this.fixture.settle(this.server.close(0));
  }
}

describe("the memory of requests in progress", () => {
  const cases = [
    { title: "empty maps", request: new Array(100_000).fill({}), bytes: 100_000 * 64 },
    {
      title: "empty bytes",
      request: new Array(20_000).fill(new Uint8Array(0)),
      bytes: 20_000 * 256,
    },
    { title: "a long text", request: "x".repeat(2 * MIB), bytes: 2 * MIB },
  ];
  for (const { title, request, bytes } of cases) {
    it(`counts what a head decodes to: ${title}`, async () => {
      await using server = await WaitingServer.start({
        limits: { requestMemoryBytesMax: 10.5 * bytes },
      });
      const connection = await server.connect();
      for (let round = 0; round < 3; round += 1) {
        assert.equal(await server.call(connection, request, 12), 10);
        await server.answerAll();
      }
    });
  }

  it("has room for one request of any size, also after another one was refused", async () => {
    await using server = await WaitingServer.start({ limits: { requestMemoryBytesMax: 1 * MIB } });
    const connection = await server.connect();
    const large = new Array(100_000).fill({});
    assert.equal(await server.call(connection, large, 3), 1);
    await server.answerAll();
    assert.equal(await server.call(connection, 1, 10), 10);
    assert.equal(await server.call(connection, large, 1), 0);
  });

  it("bounds the waiting calls of all clients together, and no call of a chunkserver", async () => {
    await using server = await WaitingServer.start({ requestMemoryBytesMax: 250_000 });
    const counts: number[] = [];
    for (let client = 0; client < 4; client += 1) {
      counts.push(await server.call(await server.connect(), 1, 50));
    }
    const sum = counts.reduce((total, count) => total + count, 0);
    assert.ok(sum > 90 && sum < 130, `${sum} calls are in progress`);
    assert.deepEqual(counts.slice(0, 2), [50, 50]);
    const chunkserver = await server.connect({ ...CLIENT, role: "chunkserver" });
    assert.equal(await server.call(chunkserver, 1, 50), 50);
  });
});
