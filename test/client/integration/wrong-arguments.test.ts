import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import type { FileSystem } from "../../../client/file-system.ts";
import { makeDirectory } from "../../../client/names/operations.ts";
import { LoopbackCluster } from "../support/loopback-cluster.ts";

/** As JavaScript code sees it. */
type Untyped = Record<string, (...given: unknown[]) => unknown>;

const MKDIR = makeDirectory("/d", {});
const OPTIONS = { timeoutMs: 1_000 };

/** Wrong calls, and the expectation that the error names. */
const CALLS: readonly (readonly [method: string, given: readonly unknown[], expected: RegExp])[] = [
  ["transact", [[MKDIR], OPTIONS], /expected a list of preconditions.* second .*timeoutMs/],
  ["transact", [{ operations: [MKDIR] }], /expected a list of operations.* first .*operations/],
  ["transact", [[{ kind: "make-directory", path: "/d" }]], /each with a kind and a target/],
  ["transact", [[null]], /expected a list of operations/],
  ["transact", [[MKDIR], [], 5], /expected an object of options as the third argument.*a number/],
  ["mkdir", ["/d", 0o755], /expected an object of options as the second .*a number/],
  ["readFile", ["/f", "utf8"], /expected an object of options as the second .*"utf8"/],
  ["readFile", ["/f", null], /expected an object of options as the second .*null/],
  ["open", ["/f", OPTIONS], /expected the mode "read" as the second .*timeoutMs/],
  ["open", ["/f", "write"], /expected the mode "read" as the second .*"write"/],
  ["stat", [], /expected a path: .* as the first argument: current value is undefined/],
  ["rename", ["/a", OPTIONS], /expected a path: .* as the second .*timeoutMs/],
  ["copy", [["/a"], "/b"], /expected a path: .* as the first .*an array/],
  ["setAttributes", ["/a", 0o644], /expected an object as the second .*a number/],
  ["setStorageClass", ["/a", OPTIONS], /expected a string as the second .*timeoutMs/],
  ["defineStorageClass", ["ssd"], /expected an object as the first .*"ssd"/],
  ["restore", ["/a"], /expected an object as the second .*undefined/],
  ["asOf", ["yesterday"], /expected a log index, \{ timeMs \} or \{ agoMs \}/],
  ["writeFile", ["/f"], /expected a string, a Uint8Array, a Blob or a stream as the second/],
  ["removeServer", [7], /expected a string as the first .*a number/],
  ["setHistoryRetention", ["7d"], /expected a number as the first .*"7d"/],
];

/** The calls whose result is no promise. */
const SYNCHRONOUS: readonly (readonly [method: string, given: readonly unknown[]])[] = [
  ["list", ["/", 5]],
  ["walk", [undefined]],
  ["history", ["/", "x"]],
  ["watch", ["/", 5]],
  ["read", ["/f", 5]],
  ["createReadStream", ["/f", "utf8"]],
  ["createWriteStream", ["/f", "utf8"]],
  ["backup", ["x"]],
  ["verify", ["/", 5]],
];

describe("wrong arguments of the library", () => {
  let cluster: LoopbackCluster;
  let fs: FileSystem;
  before(async () => {
    cluster = await LoopbackCluster.start(0);
    fs = await cluster.connect();
  });
  after(() => cluster[Symbol.asyncDispose]());

  for (const [method, given, message] of CALLS) {
    it(`rejects ${method}(${JSON.stringify(given).slice(1, -1)})`, async () => {
      const result = (fs as unknown as Untyped)[method]?.(...given);
      await assert.rejects(result as Promise<unknown>, { code: "INVALID_ARGUMENT", message });
    });
  }

  for (const [method, given] of SYNCHRONOUS) {
    it(`throws at ${method}(${JSON.stringify(given).slice(1, -1)})`, () => {
      assert.throws(() => (fs as unknown as Untyped)[method]?.(...given), {
        code: "INVALID_ARGUMENT",
        message: /expected .* as the (first|second) argument/,
      });
    });
  }

  it("accepts undefined options", async () => {
    await fs.mkdir("/with-undefined", undefined);
    await fs.transact([makeDirectory("/in-transaction", {})], undefined, undefined);
  });
});
