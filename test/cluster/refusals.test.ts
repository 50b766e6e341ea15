import assert from "node:assert/strict";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { connect } from "../../client/connect.ts";
import { isAshlarError } from "../../shared/base/errors.ts";
import { shareCluster } from "../support/shared-cluster.ts";
import { runAshlar, type StartedCluster } from "../support/started-cluster.ts";

const OTHER_CLUSTER = "00112233445566778899aabbccddeeff";

describe("a daemon that cannot start reports the error and exits with its status", () => {
  let work: string;
  before(async () => {
    work = await mkdtemp(join(tmpdir(), "ashlar-test-"));
  });
  after(async () => {
    await rm(work, { recursive: true, force: true });
  });

  const chunkserver = (...flags: string[]) =>
    runAshlar(["chunkserver", "--masters", "127.0.0.1:1", "--http", "none", ...flags]);

  it("when the port is in use", async () => {
    const holder = createServer().listen(0, "127.0.0.1");
    await new Promise((resolve) => holder.once("listening", resolve));
    const { port } = holder.address() as { port: number };
    const listen = `127.0.0.1:${port}`;
    const result = await chunkserver("--data-dir", join(work, "port"), "--listen", listen);
    holder.close();
    assert.equal(result.status, 2);
    assert.match(result.stderr, new RegExp(listen));
  });

  it("when the config file is not TOML, with file and line", async () => {
    const path = join(work, "bad.toml");
    await writeFile(path, 'dataDir = "/tmp/x"\nthis is not toml\n');
    const result = await chunkserver("--config", path);
    assert.equal(result.status, 2);
    assert.match(result.stderr, /bad\.toml:2/);
  });

  it("when the config file does not exist or is a directory", async () => {
    const missing = await chunkserver("--config", join(work, "nothing.toml"));
    assert.equal(missing.status, 2);
    assert.match(missing.stderr, /nothing\.toml/);
    const directory = await chunkserver("--config", work);
    assert.equal(directory.status, 2);
  });

  for (const role of ["master", "chunkserver", "gateway"]) {
    it(`when ${role} is started with an unknown flag, with one JSON line off a terminal`, async () => {
      const result = await runAshlar([role, "--port", "1"]);
      assert.equal(result.status, 2);
      const { message, hint, code } = JSON.parse(result.stderr);
      assert.equal(code, "INVALID_ARGUMENT");
      assert.equal(message, "Cannot read the command line: Unknown option '--port'");
      assert.match(hint, new RegExp(`ashlar ${role} --help lists the flags$`));
    });
  }

  it("when the config file has an unknown key, with the nearest known key", async () => {
    const path = join(work, "typo.toml");
    await writeFile(path, `dataDir = "${work}/typo"\nreserveByte = 5\n`);
    await chmod(path, 0o600);
    const result = await chunkserver("--config", path);
    assert.equal(result.status, 2);
    assert.match(result.stderr, /reserveByte\b[\s\S]*reserveBytes/);
  });
});

describe("a cluster and processes that do not belong to it", () => {
  let started: StartedCluster;
  before(async () => {
    started = await shareCluster();
  });
  after(async () => {
    await started[Symbol.asyncDispose]();
  });

  it("refuses a client of another cluster with WRONG_CLUSTER", async () => {
    const { masters } = started.cluster;
    await assert.rejects(
      connect({ masters, clusterId: OTHER_CLUSTER, timeoutMs: 5_000 }),
      (error) => isAshlarError(error, "WRONG_CLUSTER"),
    );
  });

  it("keeps serving when garbage is sent to its ports", async () => {
    const { connect: connectSocket } = await import("node:net");
    for (const node of started.cluster.nodes) {
      const [host = "", port = ""] = node.address.split(":");
      const socket = connectSocket({ host, port: Number(port) });
      socket.on("error", () => {}); // The server closes the connection.
      socket.write(Buffer.alloc(100_000, 0x5a));
      await new Promise((resolve) => socket.once("close", resolve));
    }
    await started.fileSystem.writeFile("/after-garbage", "fine");
    const bytes = await started.fileSystem.readFile("/after-garbage");
    assert.equal(Buffer.from(bytes).toString(), "fine");
  });

  it("refuses a second process on the same data directory", async () => {
    const config = join(started.cluster.directory, "c1", "config.toml");
    const result = await runAshlar([
      "chunkserver",
      "--config",
      config,
      "--listen",
      "127.0.0.1:0",
      "--http",
      "none",
    ]);
    assert.notEqual(result.status, 0);
    assert.match(result.stderr, /\d+/);
  });
});
