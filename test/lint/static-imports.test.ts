import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path/posix";
import { describe, it } from "node:test";
import { ROOT_URL } from "../support/repository.ts";

/** The specifier of a static import or export of values. Imports of types load nothing. */
const SPECIFIER = /^(?:import|export)\s(?!type\b)(?:[^;"]*\sfrom\s)?\s*"([^"]+)";/gm;

/** Returns the packages that a module loads through its static imports, and the modules. */
async function loadedBy(start: string): Promise<ReadonlySet<string>> {
  const loaded = new Set([start]);
  // A set may grow while it is iterated: every file that is added is visited.
  for (const file of loaded) {
    if (!file.endsWith(".ts")) continue;
    const text = await readFile(new URL(file, ROOT_URL), "utf8");
    for (const [, specifier = ""] of text.matchAll(SPECIFIER)) {
      loaded.add(specifier.startsWith(".") ? join(dirname(file), specifier) : specifier);
    }
  }
  return loaded;
}

describe("the static imports of a daemon", () => {
  for (const [start, other] of [
    ["master/server.ts", "master/api/namespace-handlers.ts"],
    ["chunkserver/server.ts", "chunkserver/store/chunk-store.ts"],
    ["shared/platform/http-server.ts", "node:http"],
  ] as const) {
    it(`do not load koa with ${start}: it is loaded at the first HTTP request`, async () => {
      const loaded = await loadedBy(start);
      assert.ok(loaded.has(other), "the imports were followed");
      assert.deepEqual(
        [...loaded].filter((name) => /^@?koa\b/.test(name)),
        [],
      );
    });
  }

  it("load koa with the listener of an HTTP server", async () => {
    assert.ok((await loadedBy("shared/platform/http-listener.ts")).has("koa"));
  });
});
