import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { type IncomingMessage, request } from "node:http";
import { connect } from "node:net";
import { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { pipeline } from "node:stream/promises";
import { after, before, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { isAshlarError } from "../../shared/base/errors.ts";
import { readProcessStatus } from "../../shared/platform/procfs.ts";
import { shareCluster } from "../support/shared-cluster.ts";
import { LAUNCHER, type StartedCluster } from "../support/started-cluster.ts";

const MIB = 1024 * 1024;
const BODY_BYTES = 300 * MIB;
/** Less than the size of the body. Measured: 160 MiB with this load and 80 MiB without load. */
const RESIDENT_BYTES_MAX = 260 * MIB;

let cluster: StartedCluster;
let gateway: ChildProcess;
let address: string;

async function startGateway(): Promise<{ child: ChildProcess; address: string }> {
  const child = spawn(
    process.execPath,
    [LAUNCHER, "gateway", "--cluster", cluster.cluster.directory, "--listen", "127.0.0.1:0"],
    { stdio: ["ignore", "inherit", "pipe"] },
  );
  let log = "";
  for await (const part of child.stderr?.iterator({ destroyOnReturn: false }) ?? []) {
    log += part;
    const found = /"address":"([^"]+)"/.exec(log)?.[1];
    if (found === undefined) continue;
    child.stderr?.resume();
    return { child, address: found };
  }
  throw new Error(`The gateway did not start: ${log}`);
}

async function stop(child: ChildProcess): Promise<number | null> {
  if (child.exitCode !== null) return child.exitCode;
  child.kill("SIGTERM");
  await once(child, "exit");
  return child.exitCode;
}

function sendRequest(method: string, path: string, body?: Readable): Promise<IncomingMessage> {
  const [host, port] = address.split(":");
  return new Promise((resolve, reject) => {
    const outgoing = request({ host, port, path, method, agent: false }, resolve);
    outgoing.on("error", reject);
    if (body === undefined) outgoing.end();
    else pipeline(body, outgoing).catch(reject);
  });
}

/** Returns a body whose blocks all differ, and the hash of the bytes that were read from it. */
function largeBody(): { readonly body: Readable; readonly digest: () => string } {
  const hash = createHash("sha256");
  const block = Buffer.alloc(MIB, "a block of a large body ");
  const make = function* (): Generator<Buffer> {
    for (let index = 0; index < BODY_BYTES / MIB; index += 1) {
      const bytes = Buffer.from(block);
      for (let at = 0; at < MIB; at += 4096) bytes.writeUInt32LE(index * MIB + at, at);
      hash.update(bytes);
      yield bytes;
    }
  };
  return { body: Readable.from(make(), { objectMode: false }), digest: () => hash.digest("hex") };
}

/** Returns the peak resident memory of a process in bytes: VmHWM in proc(5). */
function residentBytesMax(child: ChildProcess): number {
  return readProcessStatus(child.pid ?? 0, "VmHWM") ?? Number.NaN;
}

describe("the gateway on a cluster", () => {
  before(async () => {
    cluster = await shareCluster();
    ({ child: gateway, address } = await startGateway());
  });
  after(async () => {
    await stop(gateway);
    await cluster[Symbol.asyncDispose]();
  });

  it("stores and serves 300 MiB in bounded memory", async () => {
    const { body, digest } = largeBody();
    const stored = await sendRequest("PUT", "/files/large", body);
    assert.equal(stored.statusCode, 201, await text(stored));
    const got = await sendRequest("GET", "/files/large");
    assert.equal(Number(got.headers["content-length"]), BODY_BYTES);
    const hash = createHash("sha256");
    for await (const bytes of got) hash.update(bytes);
    assert.equal(hash.digest("hex"), digest());
    const residentBytes = residentBytesMax(gateway);
    assert.ok(residentBytes < RESIDENT_BYTES_MAX, `${residentBytes} bytes were resident`);
  });

  it("does not publish an upload whose connection is lost", async () => {
    const [host, port] = address.split(":");
    const socket = connect(Number(port), host);
    socket.write("PUT /files/cut HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9000000\r\n\r\n");
    socket.write(Buffer.alloc(3_000_000));
    await sleep(300);
    socket.destroy();
    await sleep(300);
    const stat = cluster.fileSystem.stat("/cut");
    await assert.rejects(stat, (error) => isAshlarError(error, "NOT_FOUND"));
  });

  it("replaces a version only if it is the one in If-Match", async () => {
    const put = async (body: string, etag?: string): Promise<number> => {
      const headers = etag === undefined ? {} : { "If-Match": etag };
      return (await fetch(`http://${address}/files/v`, { method: "PUT", body, headers })).status;
    };
    assert.equal(await put("1"), 201);
    const etag = (await fetch(`http://${address}/files/v`)).headers.get("etag") ?? "";
    const statuses = await Promise.all([put("2", etag), put("3", etag), put("4", etag)]);
    assert.deepEqual(statuses.sort(), [200, 412, 412]);
    const names: string[] = [];
    for await (const { displayName } of cluster.fileSystem.list("/")) names.push(displayName);
    assert.deepEqual(names, ["large", "v"]);
  });

  it("stops with status 0 on SIGTERM, and reports why it cannot start", async () => {
    const second = spawn(
      process.execPath,
      [LAUNCHER, "gateway", "--cluster", cluster.cluster.directory, "--listen", address],
      { stdio: ["ignore", "inherit", "pipe"] },
    );
    const log = second.stderr === null ? "" : text(second.stderr);
    await once(second, "exit");
    assert.deepEqual([second.exitCode, /ADDRESS_IN_USE/.test(await log)], [2, true]);
    assert.equal(await stop(gateway), 0);
  });
});
