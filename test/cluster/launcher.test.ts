import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { LAUNCHER } from "../support/started-cluster.ts";
import { TempDirectory } from "../support/temp-directory.ts";

/** Modules that --help must not load: each adds tens of milliseconds to the start. */
const HEAVY =
  /node_modules\/(?:pino|prom-client|koa|lmdb|msgpackr|valibot|cli-table3|@opentelemetry)\//;

/** Returns the URLs of the modules that `ashlar` loads, from the V8 coverage (NODE_V8_COVERAGE). */
async function modulesLoadedBy(...commandArguments: string[]): Promise<readonly string[]> {
  await using directory = await TempDirectory.make();
  const { status } = spawnSync(process.execPath, [LAUNCHER, ...commandArguments], {
    env: { ...process.env, NODE_V8_COVERAGE: directory.path },
  });
  assert.equal(status, 0);
  const [name] = await readdir(directory.path);
  assert.ok(name !== undefined, "a coverage file");
  const coverage = JSON.parse(await readFile(join(directory.path, name), "utf8"));
  return coverage.result.map((script: { readonly url: string }) => script.url);
}

describe("the launcher", () => {
  it("loads no module to print the version", async () => {
    const loaded = await modulesLoadedBy("--version");
    assert.deepEqual(
      loaded.filter((url) => url.includes("/dist/") || url.includes("/node_modules/")),
      [],
    );
  });

  it("loads no heavy module to print the help", async () => {
    const loaded = await modulesLoadedBy("--help");
    assert.ok(
      loaded.some((url) => url.includes("/dist/client/cli/")),
      "the CLI is loaded",
    );
    assert.deepEqual(
      loaded.filter((url) => HEAVY.test(url)),
      [],
    );
  });
});
