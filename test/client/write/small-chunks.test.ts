import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Background } from "../../../client/background.ts";
import { Chunkservers } from "../../../client/chunkservers/chunkservers.ts";
import { Deadline } from "../../../client/deadline.ts";
import type { MasterSession } from "../../../client/masters/master-session.ts";
import type { RetryEvent } from "../../../client/options.ts";
import { SmallChunks } from "../../../client/write/small-chunks.ts";
import { AshlarError } from "../../../shared/base/errors.ts";
import { DIGEST_BYTES, type Digest, type LogIndex } from "../../../shared/base/ids.ts";
import { createHasher } from "../../../shared/platform/hasher.ts";
import { SystemClock } from "../../../shared/platform/system-clock.ts";
import { TcpNetwork } from "../../../shared/platform/tcp-network.ts";
import type { Clock } from "../../../shared/ports/clock.ts";
import type { Env } from "../../../shared/ports/env.ts";
import {
  type PutSmallRequest,
  type PutSmallResponse,
  putSmall,
} from "../../../shared/protocol/chunk-api.ts";
import type { ServerLocation } from "../../../shared/protocol/intent.ts";
import { ConnectionPool } from "../../../shared/wire/connection-pool.ts";
import { RpcServer } from "../../../shared/wire/rpc-server.ts";
import { serverIdFor } from "../../chunkserver/support/chunks.ts";
import { eventually } from "../../chunkserver/support/real-cluster.ts";
import { VirtualClock } from "../../support/virtual-clock.ts";
import { CLIENT, hasCode, MemoryLog, makeWireDeps, SERVER } from "../../support/wire-fixture.ts";

const { hasher } = createHasher();
const clock = new SystemClock();

interface FixtureOptions {
  readonly knowsMethod?: boolean;
  /** The clock of the client. The wire has the real one. */
  readonly clientClock?: Clock;
}

interface Call {
  readonly head: PutSmallRequest;
  readonly bodyBytes: number;
  /** Sends an answer. Default: the chunks are stored on all servers of the chain. */
  readonly answer: (response?: PutSmallResponse) => void;
}

interface Allocation {
  readonly count: number;
  readonly exclude: readonly string[];
}

/** Small chunks of a client whose first chunkserver is a real server of the wire, answered by the test. */
class Fixture implements AsyncDisposable {
  readonly calls: Call[] = [];
  readonly allocations: Allocation[] = [];
  readonly retries: RetryEvent[] = [];
  /** Whether calls wait for `Call.answer`. Otherwise they are stored at once. */
  isHolding = false;
  /** Errors of the next allocations. */
  refusal: AshlarError | null = null;
  placementChanges = 0;
  address = "";
  readonly smallChunks: SmallChunks;
  readonly background = new Background();
  readonly #closing = new AbortController();
  readonly #server: RpcServer;
  readonly #pool: ConnectionPool;

  readonly #clock: Clock;

  private constructor({ knowsMethod = true, clientClock = clock }: FixtureOptions) {
    this.#clock = clientClock;
    const network = new TcpNetwork();
    this.#server = new RpcServer(makeWireDeps({ network, clock }), { identity: () => SERVER });
    if (knowsMethod) this.#register();
    const wire = makeWireDeps({ network, clock });
    this.#pool = new ConnectionPool(wire, { identity: () => CLIENT, role: "chunkserver" });
    const { random } = wire;
    const env = { clock: clientClock, random, hasher, log: new MemoryLog() } as unknown as Env;
    this.smallChunks = new SmallChunks({
      ...{ env, background: this.background, closing: this.#closing.signal },
      masters: this.#masters(),
      chunkservers: new Chunkservers({
        pool: this.#pool,
        clock: clientClock,
        random,
        hostName: "",
      }),
      hostName: "",
      timeoutMs: 10_000,
      onRetry: (event) => this.retries.push(event),
    });
  }

  static async start(options: FixtureOptions = {}): Promise<Fixture> {
    const fixture = new Fixture(options);
    fixture.address = await fixture.#server.listen("127.0.0.1:0");
    return fixture;
  }

  put(
    text: string,
    {
      directory = "/d",
      sharesIntents = true,
      timeoutMs = 20_000,
    }: {
      readonly directory?: string;
      readonly sharesIntents?: boolean;
      readonly timeoutMs?: number;
    } = {},
  ) {
    const deadline = new Deadline(this.#clock, "write the file", { timeoutMs });
    const placement = {
      target: { path: Buffer.from(directory) },
      storageClass: undefined,
      chunkSizeBytes: 65_536,
    };
    const bytes = Buffer.from(text);
    const putting = this.smallChunks.put({ bytes, placement, sharesIntents, deadline });
    return putting.finally(() => deadline[Symbol.dispose]());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort(new AshlarError("CANCELLED", "The test is over"));
    for (const call of this.calls) call.answer();
    await this.background.settled();
    await this.#pool.close(0);
    await this.#server.close(0);
  }

  #register(): void {
    this.#server.onCall(putSmall, (request) => {
      const { head } = request;
      const bodyBytes = request.body.length;
      request.release();
      return new Promise((resolve) => {
        const length = head.intent.servers.length * DIGEST_BYTES;
        const receipts = head.chunks.map((_, chunk) => new Uint8Array(length).fill(chunk));
        const stored: PutSmallResponse = { kind: "stored", receipts };
        this.calls.push({ head, bodyBytes, answer: (response = stored) => resolve(response) });
        if (!this.isHolding) resolve(stored);
      });
    });
  }

  #masters(): MasterSession {
    const placementChanges = (): number => this.placementChanges;
    const call = async (_: unknown, { count, exclude }: Allocation): Promise<unknown> => {
      this.allocations.push({ count, exclude });
      if (this.refusal !== null) throw this.refusal;
      const intent = {
        servers: this.#servers(exclude),
        issuedIndex: this.allocations.length as LogIndex,
        lifetimeMs: 60_000,
        signature: new Uint8Array(DIGEST_BYTES) as Digest,
      };
      const intents = Array.from({ length: count }, () => intent);
      return { intents, copiesWanted: 3, copiesMin: 1 };
    };
    return {
      call,
      get placementChanges() {
        return placementChanges();
      },
    } as unknown as MasterSession;
  }

  /** Returns the first two servers that are not excluded. All of them have one address. */
  #servers(exclude: readonly string[]): ServerLocation[] {
    return [1, 2, 3]
      .map((number) => serverIdFor(number))
      .filter((serverId) => !exclude.includes(serverId))
      .slice(0, 2)
      .map((serverId) => ({ serverId, address: this.address, host: "h", rack: "r" }));
  }
}

const failed = (number: number, code: string): PutSmallResponse => ({
  kind: "failed",
  serverId: serverIdFor(number),
  error: { code, message: "the reason" },
});

describe("small chunks of a client", () => {
  it("travel in one call if they are ready in one turn, and gather while calls are in progress", async () => {
    await using fixture = await Fixture.start();
    fixture.isHolding = true;
    const putting = Array.from({ length: 10 }, (_, number) => fixture.put(`first ${number}`));
    await eventually("the first call", () => fixture.calls.length === 1);
    assert.equal(fixture.calls[0]?.head.chunks.length, 10);
    assert.equal(fixture.calls[0]?.bodyBytes, 10 * "first 0".length);
    putting.push(fixture.put("alone"));
    await eventually("the second call", () => fixture.calls.length === 2);
    for (let number = 0; number < 5; number += 1) {
      putting.push(fixture.put(`later ${number}`));
      await clock.sleep(5);
    }
    assert.equal(fixture.calls.length, 2);
    fixture.calls[0]?.answer();
    await eventually("the third call", () => fixture.calls.length === 3);
    assert.equal(fixture.calls[2]?.head.chunks.length, 5);
    for (const { answer } of fixture.calls) answer();
    const sealed = await Promise.all(putting);
    const [first] = sealed;
    assert.ok(first !== null && first !== undefined);
    assert.deepEqual([first.isUnderReplicated, first.sentBytes], [true, "first 0".length]);
    assert.equal(first.chunk.id, fixture.calls[0]?.head.chunks[0]?.chunkId);
    const receipts = sealed[3]?.chunk.receipts.map(({ serverId, receipt }) => [
      serverId,
      receipt[0],
      receipt.length,
    ]);
    assert.deepEqual(receipts, [
      [serverIdFor(1), 3, 32],
      [serverIdFor(2), 3, 32],
    ]);
    assert.deepEqual(fixture.retries, []);
  });

  it("do not fill more than a call, and more calls are in progress while others are full", async () => {
    await using fixture = await Fixture.start();
    fixture.isHolding = true;
    const putting = Array.from({ length: 200 }, (_, number) => fixture.put(`chunk ${number}`));
    await eventually("the full calls", () => fixture.calls.length >= 3);
    const counts = fixture.calls.map(({ head }) => head.chunks.length);
    assert.deepEqual(counts, [64, 64, 64]);
    for (const { answer } of fixture.calls) answer();
    await eventually("the last call", () => fixture.calls.length === 4);
    fixture.calls[3]?.answer();
    await Promise.all(putting);
  });

  it("share an intent for a second, per directory, until the client changes the placement", async () => {
    const clientClock = new VirtualClock();
    await using fixture = await Fixture.start({ clientClock });
    await fixture.put("a");
    await fixture.put("b");
    assert.equal(fixture.allocations.length, 1);
    await fixture.put("c", { directory: "/other" });
    assert.equal(fixture.allocations.length, 2);
    fixture.placementChanges += 1;
    await fixture.put("d");
    assert.equal(fixture.allocations.length, 3);
    await fixture.put("e", { sharesIntents: false });
    await fixture.put("f", { sharesIntents: false });
    assert.equal(fixture.allocations.length, 5);
    await clientClock.advance(1_050);
    await fixture.put("g");
    assert.equal(fixture.allocations.length, 6);
  });

  it("are sent again without the server that failed", async () => {
    await using fixture = await Fixture.start();
    fixture.isHolding = true;
    const putting = Promise.all([fixture.put("a"), fixture.put("b")]);
    await eventually("a call", () => fixture.calls.length === 1);
    fixture.calls[0]?.answer(failed(2, "DISK_FAILED"));
    await eventually("another call", () => fixture.calls.length === 2);
    assert.deepEqual(fixture.allocations[1]?.exclude, [serverIdFor(2)]);
    const chain = fixture.calls[1]?.head.intent.servers.map(({ serverId }) => serverId);
    assert.deepEqual(chain, [serverIdFor(1), serverIdFor(3)]);
    fixture.calls[1]?.answer();
    const sealed = await putting;
    assert.deepEqual(
      sealed.map((each) => each?.sentBytes),
      [2, 2],
    );
    assert.deepEqual(
      fixture.retries.map(({ operation, attempt, error }) => [operation, attempt, error.code]),
      [["chunk write", 1, "DISK_FAILED"]],
    );
  });

  it("wait for servers that have other work, and are given up after three failures", async () => {
    await using fixture = await Fixture.start();
    fixture.isHolding = true;
    const putting = fixture.put("a");
    const codes = ["OVERLOADED", "OVERLOADED", "NO_SPACE", "OVERLOADED", "CHUNK_CORRUPT"];
    for (const [number, code] of codes.entries()) {
      await eventually(`call ${number}`, () => fixture.calls.length === number + 1);
      fixture.calls[number]?.answer(failed(1, code));
    }
    await eventually("the last call", () => fixture.calls.length === codes.length + 1);
    // The receipts of one server are missing.
    fixture.calls.at(-1)?.answer({ kind: "stored", receipts: [new Uint8Array(DIGEST_BYTES)] });
    assert.equal(await putting, null);
    assert.equal(fixture.retries.length, codes.length);
  });

  it("are not sent to a server of an old version again", async () => {
    await using fixture = await Fixture.start({ knowsMethod: false });
    assert.equal(await fixture.put("a"), null);
    assert.equal(await fixture.put("b"), null);
    assert.deepEqual([fixture.calls.length, fixture.retries.length], [0, 0]);
    await using newer = await Fixture.start();
    newer.isHolding = true;
    const putting = newer.put("c");
    await eventually("a call", () => newer.calls.length === 1);
    newer.calls[0]?.answer(failed(2, "UNSUPPORTED"));
    assert.equal(await putting, null);
    assert.equal(await newer.put("d"), null);
    assert.deepEqual([newer.calls.length, newer.retries.length], [1, 0]);
  });

  it("end with the errors of the masters, and with the deadline of each writer", async () => {
    await using fixture = await Fixture.start();
    fixture.refusal = new AshlarError("NO_SPACE", "Cannot place a chunk");
    await assert.rejects(fixture.put("a"), hasCode("NO_SPACE"));
    fixture.refusal = null;
    fixture.isHolding = true;
    const early = fixture.put("b", { timeoutMs: 300 });
    const late = fixture.put("c");
    await assert.rejects(early, hasCode("DEADLINE_EXCEEDED"));
    fixture.calls[0]?.answer();
    assert.equal((await late)?.chunk.lengthBytes, 1);
    // No writer waits for this call: it ends, and its memory is free.
    await assert.rejects(fixture.put("d", { timeoutMs: 300 }), hasCode("DEADLINE_EXCEEDED"));
    await fixture.background.settled();
  });

  it("are not sent after their writer has stopped waiting", async () => {
    await using fixture = await Fixture.start();
    fixture.isHolding = true;
    const first = [fixture.put("a"), fixture.put("b")];
    await eventually("a call", () => fixture.calls.length === 1);
    first.push(fixture.put("c"));
    await eventually("the calls", () => fixture.calls.length === 2);
    const abandoned = fixture.put("abandoned", { timeoutMs: 100 });
    const kept = fixture.put("kept");
    await assert.rejects(abandoned, hasCode("DEADLINE_EXCEEDED"));
    for (const { answer } of fixture.calls) answer();
    await eventually("the last call", () => fixture.calls.length === 3);
    assert.equal(fixture.calls[2]?.head.chunks.length, 1);
    assert.equal(fixture.calls[2]?.bodyBytes, "kept".length);
    fixture.calls[2]?.answer();
    await Promise.all([...first, kept]);
  });
});
