import assert from "node:assert/strict";
import { hostname } from "node:os";
import { describe, it } from "node:test";
import type { Disk, DiskFile } from "../../../shared/ports/disk.ts";
import { LoopbackCluster } from "../support/loopback-cluster.ts";

const MIB = 1024 * 1024;
const READS = 8;

/** Wraps a disk so that `onRead` is called for every read of a file. */
function observed(onRead: () => void): (disk: Disk) => Disk {
  const observedFile = (file: DiskFile): DiskFile =>
    intercept(file, "read", (read) => {
      onRead();
      return read();
    });
  return (disk) =>
    intercept(disk, "open", async (open) => observedFile((await open()) as DiskFile));
}

/**
 * Returns `target` with the method `name` replaced by `replacement`, which gets the original call.
 */
function intercept<Target extends object>(
  target: Target,
  name: keyof Target,
  replacement: (call: () => Promise<unknown>) => unknown,
): Target {
  return new Proxy(target, {
    get: (object, property) => {
      const value = Reflect.get(object, property) as unknown;
      if (typeof value !== "function") return value;
      if (property !== name) return value.bind(object);
      return (...parameters: unknown[]) =>
        replacement(() => Reflect.apply(value, object, parameters) as Promise<unknown>);
    },
  });
}

describe("the default host name of a client", () => {
  it("makes a client without options read from the chunkserver on its machine", async () => {
    await using cluster = await LoopbackCluster.start(0);
    let localReads = 0;
    for (const host of ["elsewhere-1", hostname(), "elsewhere-2"]) {
      const isLocal = host === hostname();
      const wrapDisk = observed(() => {
        if (isLocal) localReads += 1;
      });
      await cluster.addServer({ config: { host }, wrapDisk });
    }
    const fs = await cluster.connect();
    await fs.writeFile("/file", new Uint8Array(MIB).fill(1));
    for (let read = 1; read <= READS; read += 1) {
      localReads = 0;
      assert.equal((await fs.readFile("/file")).length, MIB);
      assert.ok(localReads > 0, `read ${read} asked the chunkserver on this machine`);
    }
  });
});
