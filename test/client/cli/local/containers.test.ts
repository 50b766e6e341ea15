import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readdir, writeFile } from "node:fs/promises";
import { describe, it } from "node:test";
import { removeLeftovers } from "../../../../client/cli/local/temporary-files.ts";
import { LocalPath } from "../../../../client/cli/local-path.ts";
import { MODULE_FLAGS, moduleUrl } from "../../../support/repository.ts";
import { TempDirectory } from "../../../support/temp-directory.ts";

const MODULE = moduleUrl("client/cli/local/temporary-files.ts");
const PRINT = `import("${MODULE}").then((module) => console.log(module.temporaryName().toString()))`;
const UNSHARE = ["--fork", "--pid", "--mount-proc"];

const isPermitted = spawnSync("unshare", [...UNSHARE, "true"]).status === 0;

describe("a shared directory of several containers", () => {
  it("keeps the temporary files of a process in another container with the same host name", {
    skip: isPermitted ? false : "this user may not make a pid namespace",
  }, async () => {
    await using directory = await TempDirectory.make();
    const node = [process.execPath, ...MODULE_FLAGS, "--input-type=module", "--eval", PRINT];
    const { stdout, stderr } = spawnSync("unshare", [...UNSHARE, ...node]);
    const name = stdout.toString().trim();
    assert.match(name, /^\.ashlar-get-/, stderr.toString());
    await writeFile(`${directory.path}/${name}`, "part");
    await removeLeftovers(new LocalPath(Buffer.from(directory.path)));
    assert.deepEqual(await readdir(directory.path), [name]);
  });
});
