import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { closeSync, constants, openSync, writeSync } from "node:fs";
import { it } from "node:test";
import { readWholeFile } from "../../../shared/platform/readable-file.ts";
import { TempDirectory } from "../../support/temp-directory.ts";

const MIB = 1024 * 1024;

it("readWholeFile holds no more memory than a file that arrives in single bytes", async () => {
  await using directory = await TempDirectory.make();
  const path = `${directory.path}/fifo`;
  execFileSync("mkfifo", [path]);
  const writer = openSync(path, constants.O_RDWR); // O_WRONLY would wait for a reader.
  const reading = readWholeFile(path, { bytesMax: MIB });
  const before = process.memoryUsage().arrayBuffers;
  const count = 1_000;
  for (let index = 0; index < count; index += 1) {
    writeSync(writer, "x");
    await new Promise(setImmediate);
  }
  const grownBytes = process.memoryUsage().arrayBuffers - before;
  closeSync(writer);
  assert.equal((await reading).length, count);
  assert.ok(grownBytes < 4 * MIB, `${grownBytes} bytes are held`);
});
