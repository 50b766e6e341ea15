import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { casesOf } from "../../../scripts/soak/io-faults.ts";
import { kindOfFile, nameOfSite, pathsToWatch, sitesIn } from "../../../scripts/soak/io-sites.ts";
import { TempDirectory } from "../../support/temp-directory.ts";

/** Lines as `strace -f -y` writes them. */
const PROTOCOL = `
12 fdatasync(21</d/log/0000000000000001-0000000000000001.log>) = 0
13 pwrite64(21</d/log/0000000000000001-0000000000000001.log>, "x"..., 4, 0) = 4
13 pwrite64(22</d/log/0000000000000009-0000000000000002.log>, "x"..., 4, 0 <unfinished ...>
14 <... pwrite64 resumed>) = 4
14 fsync(7</d>) = 0
14 write(1</var/log/node>, "hello"..., 5) = 5
15 pwrite64(30</d/extents/large-000000000007>, "x"..., 4096, 0) = 4096
`;

describe("the call sites in a protocol of strace", () => {
  it("are told apart by call and kind of file, and by nothing else", async () => {
    await using directory = await TempDirectory.make();
    const protocol = join(directory.path, "calls");
    await writeFile(protocol, PROTOCOL);
    const sites = await sitesIn(protocol, { role: "master", phase: "load", dataDirectory: "/d" });
    assert.deepEqual(sites.map(nameOfSite), [
      "master at load: fdatasync of log/N-N.log",
      "master at load: pwrite64 of log/N-N.log",
      "master at load: fsync of .",
      "master at load: pwrite64 of extents/large-N",
    ]);
    assert.equal(sites[1]?.paths.length, 2);
    assert.deepEqual(
      casesOf(sites).map(({ error }) => error),
      ["EIO", "EIO", "ENOSPC", "EIO", "EIO", "ENOSPC"],
      "only what takes space can find the disk full",
    );
  });

  it("are met again in files that are still to be made", () => {
    const site = {
      ...({ role: "chunkserver", phase: "load", call: "pwrite64" } as const),
      ...{ file: "extents/large-N" },
      paths: ["extents/large-00000000000f", "extents/large-000000000007"],
    };
    const paths = pathsToWatch(site, "/d");
    assert.deepEqual(paths.slice(0, 3), [
      "/d/extents/large-00000000000f",
      "/d/extents/large-000000000007",
      "/d/extents/large-000000000010",
    ]);
    assert.ok(
      !paths.includes("/d/extents/large-000000000008"),
      "an old number does not come again",
    );
    const temporary = pathsToWatch({ ...site, paths: ["chunkserver.json.2.tmp"] }, "/d");
    assert.ok(temporary.includes("/d/chunkserver.json.1.tmp"), "each process counts from 1");
    assert.equal(kindOfFile("extents/large-00000000000f"), "extents/large-N");
    assert.equal(kindOfFile("identity.json.3.tmp"), "identity.json.N.tmp");
  });
});
