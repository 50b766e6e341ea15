import assert from "node:assert/strict";
import { connect, type Socket } from "node:net";
import { describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { FileSystem } from "../../../client/file-system.ts";
import type { GatewayConfig } from "../../../client/gateway/config.ts";
import { LoopbackCluster } from "../support/loopback-cluster.ts";
import { ServedGateway } from "./served-gateway.ts";

const MIB = 1024 * 1024;
/** More than the buffers of a connection on the loopback hold. */
const LARGE_BYTES = 12 * MIB;

function largeBytes(): Buffer {
  const bytes = Buffer.alloc(LARGE_BYTES);
  for (let at = 0; at < LARGE_BYTES; at += 4096) bytes.writeUInt32LE(at, at);
  return bytes;
}

/** Polls until `holds` is true. Fails after 10 s. */
async function eventually(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  const endMs = Date.now() + 10_000;
  while (!(await holds())) {
    assert.ok(Date.now() < endMs, `${what} within 10 s`);
    await sleep(10);
  }
}

/** A gateway with a large file, and raw connections to it. */
class Load implements AsyncDisposable {
  readonly gateway: ServedGateway;
  readonly #sockets: Socket[] = [];

  private constructor(gateway: ServedGateway) {
    this.gateway = gateway;
  }

  static async start(config: Partial<GatewayConfig> = {}, served?: FileSystem): Promise<Load> {
    const gateway = await ServedGateway.start(config, served);
    await gateway.files.writeFile("/large", [largeBytes()]);
    await gateway.files.writeFile("/small", [Buffer.from("small")]);
    return new Load(gateway);
  }

  /** Opens a connection that sends `text` and does not read. */
  open(text: string, localAddress?: string): Socket {
    const [host, port] = this.gateway.address.split(":");
    const socket = connect({
      host: host ?? "",
      port: Number(port),
      ...(localAddress === undefined ? {} : { localAddress }),
    });
    socket.pause();
    socket.on("error", () => {});
    socket.write(text);
    this.#sockets.push(socket);
    return socket;
  }

  readSlowly(count: number): Socket[] {
    return Array.from({ length: count }, () =>
      this.open("GET /files/large HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    );
  }

  /** Begins uploads that send one byte of two. */
  async uploadSlowly(count: number, localAddress: string): Promise<void> {
    const { files } = this.gateway;
    const startedBefore = files.writesStarted;
    for (let index = 0; index < count; index += 1) {
      this.open(
        `PUT /files/up-${localAddress}-${index} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n1`,
        localAddress,
      );
    }
    await eventually("uploads start", () => files.writesStarted === startedBefore + count);
  }

  async isReady(): Promise<boolean> {
    return (await this.gateway.request("/readyz")).status === 200;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await this.gateway[Symbol.asyncDispose]();
  }
}

/** Reads the rest of a response with a body of `length` bytes. */
async function readBody(socket: Socket, length: number): Promise<Buffer> {
  let received = Buffer.alloc(0);
  const parts: Buffer[] = [];
  let receivedBytes = 0;
  let bodyStart = -1;
  for await (const part of socket) {
    parts.push(part);
    receivedBytes += part.length;
    if (bodyStart < 0) bodyStart = Buffer.concat(parts).indexOf("\r\n\r\n") + 4;
    if (receivedBytes >= bodyStart + length) break;
  }
  received = Buffer.concat(parts);
  return received.subarray(bodyStart);
}

describe("the gateway under load", () => {
  it("serves others while 64 clients do not read, and continues when they read", async () => {
    await using load = await Load.start();
    const { gateway } = load;
    const readers = load.readSlowly(64);
    await eventually("all slow downloads start", () => gateway.files.openHandles === 64);
    const small = await gateway.request("/files/small");
    assert.deepEqual([small.status, small.text], [200, "small"]);
    const stored = await gateway.request("/files/new", { method: "PUT", body: "new" });
    assert.equal(stored.status, 201);
    assert.equal((await gateway.request("/files/?json")).status, 200);
    const other = await gateway.request("/files/small", { localAddress: "127.0.0.2" });
    assert.equal(other.status, 200);
    assert.ok(gateway.files.openReadsMax <= 32, `${gateway.files.openReadsMax} reads at once`);
    await eventually("the gateway is ready", () => load.isReady());
    // One of the first and one of the last continue without a gap.
    for (const reader of [readers[0], readers[63]]) {
      assert.ok(reader !== undefined);
      const body = await readBody(reader, LARGE_BYTES);
      assert.ok(body.equals(largeBytes()));
    }
  });

  it("aborts a download whose client does not read within the stall timeout", async () => {
    await using load = await Load.start({ stallTimeoutMs: 300 });
    load.readSlowly(3);
    await eventually("downloads start", () => load.gateway.files.openHandles === 3);
    await eventually("downloads end", () => load.gateway.files.openHandles === 0);
    assert.equal(load.gateway.files.openReads, 0);
  });

  it("answers 429 for the limit of a client, and 503 for that of all, with Retry-After", async () => {
    const limits = { transfersMax: 8, transfersPerClientMax: 3, transferWaitMs: 20 };
    await using load = await Load.start(limits);
    const { gateway } = load;
    await load.uploadSlowly(3, "127.0.0.1");
    for (const options of [{ headers: { range: "bytes=0-9" } }, { method: "PUT", body: "x" }]) {
      const own = await gateway.request("/files/small", options);
      assert.deepEqual([own.status, own.headers["retry-after"]], [429, "1"]);
      assert.equal(own.headers["content-range"], undefined);
      const { code, details, retry } = JSON.parse(own.text).error;
      assert.deepEqual([code, details.limit, retry], ["OVERLOADED", "client", "safe"]);
      const localAddress = "127.0.0.2";
      assert.ok((await gateway.request("/files/small", { ...options, localAddress })).status < 300);
    }
    await load.uploadSlowly(3, "127.0.0.2");
    // Uploads have at most three quarters of the slots.
    const third = { localAddress: "127.0.0.3" };
    const refused = await gateway.request("/files/new", { method: "PUT", body: "x", ...third });
    assert.deepEqual([refused.status, refused.headers["retry-after"]], [503, "1"]);
    assert.equal((await gateway.request("/files/small", third)).status, 200);
    const ready = await gateway.request("/readyz");
    assert.deepEqual([ready.status, JSON.parse(ready.text).ready], [503, false]);
    assert.match(JSON.parse(ready.text).reason, /no transfer slot is free: 6 are in use/);
    // Requests without a body need no slot.
    const head = await gateway.request("/files/small", { method: "HEAD" });
    assert.equal(head.status, 200);
    assert.equal((await gateway.request("/files/small", { method: "DELETE" })).status, 204);
  });

  it("gives the slot of an ended upload to the next request", async () => {
    await using load = await Load.start({ transfersMax: 1 });
    const upload = load.open(
      "PUT /files/up HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n1",
    );
    await eventually("the upload starts", () => load.gateway.files.writesStarted === 3);
    const waiting = load.gateway.request("/files/small");
    upload.write("2");
    assert.equal((await waiting).status, 200);
    await eventually("the gateway is ready", () => load.isReady());
  });

  it("refuses connections beyond the limits with 429 and 503", async () => {
    await using load = await Load.start({ connectionsMax: 4, connectionsPerClientMax: 2 });
    const request = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    const firstLine = async (localAddress: string): Promise<string> => {
      const socket = load.open(request, localAddress);
      socket.setEncoding("latin1");
      const { done, value } = await socket.iterator({ destroyOnReturn: false }).next();
      return done === true ? "" : `${value}`.split("\r\n").slice(0, 2).join();
    };
    const [ok, own, total] = [
      /^HTTP\/1\.1 200 OK/,
      /^HTTP\/1\.1 429 .*,Retry-After: 1$/,
      /^HTTP\/1\.1 503 .*,Retry-After: 1$/,
    ];
    assert.match(await firstLine("127.0.0.1"), ok);
    assert.match(await firstLine("127.0.0.1"), ok);
    assert.match(await firstLine("127.0.0.1"), own);
    assert.match(await firstLine("127.0.0.2"), ok);
    assert.match(await firstLine("127.0.0.2"), ok);
    assert.match(await firstLine("127.0.0.3"), total);
  });

  it("continues a download of a cluster that lost its slot", async () => {
    await using cluster = await LoopbackCluster.start(2);
    const files = await cluster.connect();
    await files.writeFile("/large", largeBytes());
    await using load = await Load.start({ transfersMax: 1, readAheadBytesMax: MIB }, files);
    const readers = load.readSlowly(2);
    const response = await load.gateway.request("/files/large", {
      headers: { range: "bytes=0-9" },
    });
    assert.equal(response.status, 206);
    const bodies = await Promise.all(readers.map((reader) => readBody(reader, LARGE_BYTES)));
    for (const body of bodies) assert.ok(body.equals(largeBytes()));
  });
});
