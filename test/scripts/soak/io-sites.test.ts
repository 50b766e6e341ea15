import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { casesOf } from "../../../scripts/soak/io-faults.ts";
import { kindOfFile, nameOfSite, pathsToWatch, sitesIn } from "../../../scripts/soak/io-sites.ts";
import { TempDirectory } from "../../support/temp-directory.ts";

/** Lines in the format of `strace -f -y`. */
const TRACE = `
12 fdatasync(21</d/log/0000000000000001-0000000000000001.log>) = 0
13 pwrite64(21</d/log/0000000000000001-0000000000000001.log>, "x"..., 4, 0) = 4
13 pwrite64(22</d/log/0000000000000009-0000000000000002.log>, "x"..., 4, 0 <unfinished ...>
14 <... pwrite64 resumed>) = 4
14 fsync(7</d>) = 0
14 write(1</var/log/node>, "hello"..., 5) = 5
15 pwrite64(30</d/extents/large-000000000007>, "x"..., 4096, 0) = 4096
`;

describe("the call sites in a trace of strace", () => {
  it("are distinguished by system call and kind of file", async () => {
    await using directory = await TempDirectory.make();
    const tracePath = join(directory.path, "calls");
    await writeFile(tracePath, TRACE);
    const sites = await sitesIn(tracePath, { role: "master", phase: "load", dataDirectory: "/d" });
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
      "only calls that allocate space can fail with ENOSPC",
    );
  });

  it("are watched in existing files and in the next numbered files", () => {
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
    assert.ok(!paths.includes("/d/extents/large-000000000008"), "an old number is not used again");
    const temporary = pathsToWatch({ ...site, paths: ["chunkserver.json.2.tmp"] }, "/d");
    assert.ok(temporary.includes("/d/chunkserver.json.1.tmp"), "each process numbers from 1");
    assert.equal(kindOfFile("extents/large-00000000000f"), "extents/large-N");
    assert.equal(kindOfFile("identity.json.3.tmp"), "identity.json.N.tmp");
  });
});
