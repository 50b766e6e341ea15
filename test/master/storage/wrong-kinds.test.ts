import assert from "node:assert/strict";
import { mkdir, rm, symlink, writeFile } from "node:fs/promises";
import { describe, it } from "node:test";
import { openMemberStorage } from "../../../master/storage/open-member-storage.ts";
import type { MemberId } from "../../../shared/base/ids.ts";
import { MemoryStores } from "../../../shared/platform/memory-store.ts";
import { NodeDisk } from "../../../shared/platform/node-disk.ts";
import { TempDirectory } from "../../support/temp-directory.ts";
import { hasCode } from "../../support/wire-fixture.ts";
import { CLUSTER, hasher, makeFixture } from "./log-fixture.ts";

const FILES = [
  "identity.json",
  "peers.json",
  "founders.json",
  "current.json",
  "newest-segment.json",
  "lost-log.json",
] as const;

function open(path: string, stores = new MemoryStores()) {
  return openMemberStorage({
    ...makeFixture(),
    disk: new NodeDisk(path),
    stores,
    hasher,
    clusterId: CLUSTER,
    memberId: 1 as MemberId,
    founders: [1 as MemberId],
  });
}

/** Makes the directory of a member that has started. */
async function makeMember(path: string): Promise<MemoryStores> {
  const stores = new MemoryStores();
  const { log } = await open(path, stores);
  await log.close();
  return stores;
}

describe("the data directory of a master", () => {
  for (const name of FILES) {
    it(`is refused with a hint if ${name} is no file`, async () => {
      for (const make of [mkdir, (path: string) => symlink(path, path)]) {
        await using directory = await TempDirectory.make();
        const stores = await makeMember(directory.path);
        await rm(`${directory.path}/${name}`, { force: true });
        await make(`${directory.path}/${name}`);
        await assert.rejects(open(directory.path, stores), {
          code: "LOG_CORRUPT",
          message: new RegExp(`Cannot read .*${name}: expected a regular file`),
          hint: /Restore .* from a copy of it. Without a copy: Keep this directory/,
        });
      }
    });
  }

  for (const [what, lost] of [
    ["the log is no directory", []],
    [
      "the log is no directory, and nothing else shows that there was a log",
      ["founders.json", "newest-segment.json", "peers.json"],
    ],
  ] as const) {
    it(`is refused with a hint if ${what}`, async () => {
      for (const make of [
        (path: string) => writeFile(path, ""),
        (path: string) => symlink("x", path),
      ]) {
        await using directory = await TempDirectory.make();
        const stores = await makeMember(directory.path);
        for (const name of lost) await rm(`${directory.path}/${name}`, { force: true });
        await rm(`${directory.path}/log`, { recursive: true });
        await make(`${directory.path}/log`);
        await assert.rejects(open(directory.path, stores), {
          code: "LOG_CORRUPT",
          message: /Cannot read log at byte 0: expected a directory/,
          hint: /Keep this directory/,
        });
      }
    });
  }

  it("is not that of a new member if it has no identity and the log is no directory", async () => {
    await using directory = await TempDirectory.make();
    await writeFile(`${directory.path}/log`, "");
    await assert.rejects(open(directory.path), hasCode("WRONG_IDENTITY"));
  });
});
