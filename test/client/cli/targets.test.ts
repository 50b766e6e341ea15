import assert from "node:assert/strict";
import { mkdir, readFile, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { COMMANDS } from "../../../client/cli/command-table.ts";
import { TargetClaims } from "../../../client/cli/target-claims.ts";
import { CliCluster } from "../support/cli-cluster.ts";

let cluster: CliCluster;

before(async () => {
  cluster = await CliCluster.start();
});
after(() => cluster[Symbol.asyncDispose]());

/** Makes a local file with this content, and its directory. */
async function makeLocal(path: string, content = path): Promise<void> {
  const absolute = join(cluster.work, path);
  await mkdir(join(absolute, ".."), { recursive: true });
  await writeFile(absolute, content);
}

const local = (path: string): Promise<string> => readFile(join(cluster.work, path), "utf8");

/** A command that takes several sources, over two sources of one name. */
interface TwoSources {
  /** Makes `x` in two directories, and an empty target. @returns the arguments of the command */
  readonly prepare: (top: string) => Promise<readonly [string, string, string]>;
  /** Returns the content of the target's entry. */
  readonly result: (target: string) => Promise<string>;
}

const remoteResult = async (target: string): Promise<string> =>
  Buffer.from(await cluster.fs.readFile(`${target}/x`)).toString();

async function twoRemote(top: string): Promise<readonly [string, string, string]> {
  await cluster.make(`/${top}/a/x`, `/${top}/b/x`, `/${top}/to/`);
  return [`/${top}/a/x`, `/${top}/b/x`, `/${top}/to`];
}

const TWO_SOURCES: Readonly<Record<string, TwoSources>> = {
  cp: { prepare: twoRemote, result: remoteResult },
  mv: { prepare: twoRemote, result: remoteResult },
  get: {
    prepare: async (top) => {
      const [first, second] = await twoRemote(top);
      await mkdir(join(cluster.work, top));
      return [first, second, top];
    },
    result: (target) => local(`${target}/x`),
  },
  put: {
    prepare: async (top) => {
      await makeLocal(`${top}/a/x`, `/${top}/a/x`);
      await makeLocal(`${top}/b/x`, `/${top}/b/x`);
      await cluster.make(`/${top}/to/`);
      return [`${top}/a/x`, `${top}/b/x`, `/${top}/to`];
    },
    result: remoteResult,
  },
};

describe("several sources of one name", () => {
  it("are tested for every command with several sources and a target", () => {
    const several = COMMANDS.filter(({ usage }) =>
      /<source\.\.\.> [<[]target[>\]]/.test(usage ?? ""),
    );
    assert.deepEqual(several.map(({ name }) => name).sort(), Object.keys(TWO_SOURCES).sort());
  });

  for (const [name, { prepare, result }] of Object.entries(TWO_SOURCES)) {
    for (const flags of [[], ["--force"], ["--no-clobber"]]) {
      it(`${name} ${flags.join(" ")}: keeps the first, refuses the second, keeps its source`, async () => {
        const top = `two-${name}${flags.join("")}`;
        const [first, second, target] = await prepare(top);
        const { stderr } = await cluster.exits(8, name, ...flags, first, second, target);
        assert.match(stderr, /Will not overwrite just-created /);
        assert.equal(await result(target), `/${top}/a/x`);
        const left =
          name === "put" ? await local(second) : (await cluster.files(`/${top}/b`)).join();
        assert.match(left, new RegExp(`/${top}/b/x$`));
      });
    }

    it(`${name}: changes nothing if the target cannot take several sources`, async () => {
      const top = `none-${name}`;
      const [first, second] = await prepare(top);
      const target = name === "get" ? "missing" : `/${top}/missing`;
      const { status } = await cluster.run([name, first, second, target]);
      assert.ok(status === 3 || status === 6, `${status}`);
      if (name === "put") assert.deepEqual(await cluster.files(`/${top}`), []);
      else assert.equal((await cluster.files(`/${top}`)).length, 2);
      await assert.rejects(result(target));
    });
  }

  it("are refused within trees that are merged, and for matches of one pattern", async () => {
    await cluster.make("/m/a/t/x", "/m/a/t/1", "/m/b/t/x", "/m/b/t/2", "/m/to/");
    await cluster.exits(8, "cp", "-r", "-f", "/m/a/t", "/m/b/t", "/m/to");
    const merged = ["/m/to/t/1=/m/a/t/1", "/m/to/t/2=/m/b/t/2", "/m/to/t/x=/m/a/t/x"];
    assert.deepEqual(await cluster.files("/m/to"), merged);
    await cluster.exits(8, "get", "-r", "/m/a/.", "/m/b/.", ".");
    assert.equal(await local("t/x"), "/m/a/t/x");
    assert.equal(await local("t/2"), "/m/b/t/2");
    await cluster.exits(8, "put", "-r", "-f", "t/.", "t", "t", "/m/to");
    await cluster.make("/m/moved/");
    await cluster.exits(8, "mv", "/m/{a,b}/t", "/m/moved");
    assert.equal((await cluster.files("/m/moved")).length, 2);
    assert.equal((await cluster.files("/m/b")).length, 2);
  });

  it("can be repeated if the first was not made, or was skipped", async () => {
    await cluster.make("/r/a/x", "/r/b/x", "/r/to/x");
    await cluster.exits(0, "cp", "-n", "/r/a/x", "/r/b/x", "/r/to");
    await cluster.exits(8, "cp", "-f", "/r/none/x", "/r/b/x", "/r/to");
    assert.deepEqual(await cluster.files("/r/to"), ["/r/to/x=/r/b/x"]);
  });
});

describe("claims of targets", () => {
  const x = Buffer.from("/x");

  it("allow a shared directory several times, and nothing beside a claim of one source", () => {
    const claims = new TargetClaims(["a", "b"]);
    claims.share(x, Buffer.from("a"));
    claims.share(x, Buffer.from("b"));
    assert.throws(() => claims.claim(x, Buffer.from("c")), { code: "ALREADY_EXISTS" });
  });

  it("keep nothing for one source, which is no pattern", () => {
    const claims = new TargetClaims(["/a"]);
    claims.claim(x, x);
    claims.claim(x, x);
  });
});

/** Commands that make one target from one source: the arguments, with the target last. */
const ONE_TARGET: Readonly<Record<string, (top: string) => Promise<string[]>>> = {
  cp: async (top) => {
    await cluster.make(`${top}/new`, `${top}/x`);
    return ["cp", `${top}/new`, `${top}/x`];
  },
  mv: async (top) => {
    await cluster.make(`${top}/new`, `${top}/x`);
    return ["mv", `${top}/new`, `${top}/x`];
  },
  put: async (top) => {
    await cluster.make(`${top}/x`);
    await makeLocal("new", `${top}/new`);
    return ["put", "new", `${top}/x`];
  },
  restore: async (top) => {
    await cluster.make(`${top}/new`);
    const { index } = await cluster.fs.writeFile(`${top}/x`, Buffer.from(`${top}/x`));
    return ["restore", `${top}/new`, "--at", String(index), "--to", `${top}/x`];
  },
};

describe("a target that exists", () => {
  it("has the same options in every command that makes one", () => {
    const flagsOf = (name: string): string[] =>
      (COMMANDS.find((each) => each.name === name)?.options ?? []).map(({ flags }) => flags);
    for (const name of [...Object.keys(ONE_TARGET), "get"]) {
      for (const flag of ["-f, --force", "-n, --no-clobber", "-i, --interactive"]) {
        assert.ok(flagsOf(name).includes(flag), `${name} ${flag}`);
      }
    }
    for (const { name, options = [] } of COMMANDS) {
      for (const { flags } of options.filter((each) => each.flags.startsWith("-n,"))) {
        assert.match(flags, /^-n, --(no-clobber|lines)/, `${name} ${flags}`);
      }
    }
  });

  for (const [name, prepare] of Object.entries(ONE_TARGET)) {
    it(`${name}: is kept, skipped, or replaced on request`, async () => {
      const top = `/one-${name}`;
      const [command = "", ...rest] = await prepare(top);
      const content = (): Promise<string[]> => cluster.files(top).then((all) => all.slice(-1));
      const { stderr } = await cluster.exits(6, command, ...rest);
      assert.match(stderr, /File exists: .*\n {2}hint: --force replaces what exists/);
      assert.deepEqual(await content(), [`${top}/x=${top}/x`]);
      await cluster.exits(0, command, "-n", ...rest);
      assert.deepEqual(await content(), [`${top}/x=${top}/x`]);
      const asked = await cluster.exits(2, command, "-i", ...rest); // No terminal.
      assert.match(asked.stderr, /Replace \/.*\?.*not a terminal/);
      await cluster.exits(2, command, "-i", "-f", ...rest);
      assert.deepEqual(await content(), [`${top}/x=${top}/x`]);
      await cluster.exits(0, command, "-f", ...rest);
      assert.deepEqual(await content(), [`${top}/x=${top}/new`]);
    });
  }

  it("get: is kept, skipped, or replaced on request", async () => {
    await cluster.make("/one-get/new");
    await makeLocal("one", "old");
    const line = ["/one-get/new", "one"];
    await cluster.exits(6, "get", ...line);
    await cluster.exits(0, "get", "-n", ...line);
    await cluster.exits(2, "get", "-i", ...line);
    assert.equal(await local("one"), "old");
    await cluster.exits(0, "get", "-f", ...line);
    assert.equal(await local("one"), "/one-get/new");
  });

  it("is not replaced by --resume together with an option that keeps it", async () => {
    await cluster.make("/resume/x");
    await makeLocal("resumed", "other");
    for (const flag of ["-n", "-i"]) {
      for (const line of [
        ["put", "resumed", "/resume/x"],
        ["get", "/resume/x", "resumed"],
      ]) {
        const { stderr } = await cluster.exits(2, ...line, "--resume", flag);
        assert.match(stderr, /expected one of --force, --no-clobber and --interactive/);
      }
    }
    assert.equal(await local("resumed"), "other");
    await cluster.exits(0, "get", "--resume", "/resume/x", "resumed");
    assert.equal(await local("resumed"), "/resume/x");
    await makeLocal("resumed", "other");
    await cluster.exits(0, "put", "--resume", "-f", "resumed", "/resume/x");
    assert.deepEqual(await cluster.files("/resume"), ["/resume/x=other"]);
  });

  it("of get that is a directory is kept, also with -f, and skipped with -n", async () => {
    await cluster.make("/below/x");
    await makeLocal("below/x/inner");
    for (const flags of [[], ["-f"]]) {
      const { stderr } = await cluster.exits(6, "get", ...flags, "/below/x", "below");
      assert.match(stderr, /Cannot write the local path below\/x: is a directory/);
    }
    await cluster.exits(0, "get", "-n", "/below/x", "below");
    assert.equal(await local("below/x/inner"), "below/x/inner");
  });

  it("is merged if it is a directory of cp -r, file by file", async () => {
    await cluster.make("/g/s/1", "/g/s/d/2", "/g/to/s/1", "/g/to/s/d");
    const { stderr } = await cluster.exits(8, "cp", "-r", "/g/s", "/g/to");
    assert.equal(
      stderr
        .trim()
        .split("\n")
        .filter((line) => line.startsWith("ashlar")).length,
      2,
    );
    await cluster.exits(8, "cp", "-r", "-n", "/g/s", "/g/to"); // A file is in the way of /g/s/d.
    await cluster.exits(0, "cp", "-r", "/g/s/.", "/g/flat");
    await cluster.exits(0, "cp", "-r", "-f", "/g/s/.", "/g/flat");
    assert.deepEqual(await cluster.files("/g/flat"), ["/g/flat/1=/g/s/1", "/g/flat/d/2=/g/s/d/2"]);
  });

  it("receives the entries of the root, which has no name of its own", async () => {
    await cluster.make("/root/x");
    await mkdir(join(cluster.work, "all"));
    const { stderr } = await cluster.exits(0, "get", "-r", "--include", "root/x", "/", "all");
    assert.match(stderr, /^got 1 file, /);
    assert.equal(await local("all/root/x"), "/root/x");
    const { stdout } = await cluster.exits(0, "get", "--dry-run", "/root/x", "/");
    assert.equal(stdout, "would get /root/x to /x\n");
    const copied = await cluster.exits(2, "cp", "-r", "/", "/root");
    assert.match(copied.stderr, /outside the directory: current value is \/root\n/);
  });

  it("has no summary if no file was transferred, because of --dry-run or a failure", async () => {
    await cluster.make("/none/x");
    await makeLocal("sum");
    await symlink("loop", join(cluster.work, "loop"));
    for (const [status, ...line] of [
      [0, "put", "--dry-run", "sum", "/none/new"],
      [0, "get", "--dry-run", "/none/x", "new"],
      [6, "put", "sum", "/none/x/below"],
      [1, "get", "/none/x", "loop"],
    ] as const) {
      const { stderr } = await cluster.exits(status, ...line);
      assert.doesNotMatch(stderr, /0 files/, line.join(" "));
    }
  });

  it("is the name of the copy with -T, also if it is a directory", async () => {
    await cluster.make("/T/s/1", "/T/to/2", "/T/empty/");
    await cluster.exits(0, "cp", "-r", "-T", "/T/s", "/T/to");
    assert.deepEqual(await cluster.files("/T/to"), ["/T/to/1=/T/s/1", "/T/to/2=/T/to/2"]);
    await cluster.exits(2, "cp", "-r", "-T", "/T/s", "/T/to", "/T/empty");
    await cluster.exits(6, "mv", "-T", "/T/s", "/T/empty");
    await cluster.exits(0, "mv", "-T", "-f", "/T/s", "/T/empty");
    assert.deepEqual(await cluster.files("/T/empty"), ["/T/empty/1=/T/s/1"]);
  });

  it("keeps the attributes of its source with cp -r, directories too with -p", async () => {
    await cluster.make("/p/s/d/f");
    const attributes = { mode: 0o2750, uid: 7, gid: 8, mtimeMs: -1500, atimeMs: 86_400_000 };
    for (const path of ["/p/s/d/f", "/p/s/d", "/p/s"]) {
      await cluster.fs.setAttributes(path, attributes);
    }
    await cluster.exits(0, "cp", "-r", "-p", "/p/s", "/p/kept");
    await cluster.exits(0, "cp", "-r", "/p/s", "/p/new");
    for (const name of ["", "/d", "/d/f"]) {
      const { mode, uid, gid, mtimeMs, atimeMs } = await cluster.fs.stat(`/p/kept${name}`);
      assert.deepEqual({ mode, uid, gid, mtimeMs, atimeMs }, attributes, name);
      const made = await cluster.fs.stat(`/p/new${name}`);
      assert.equal(made.mode, 0o2750, name);
      assert.notEqual(made.mtimeMs, -1500, name);
    }
  });

  it("is in the cluster for cp and mv, which the error says", async () => {
    await cluster.make("/where/f");
    const missing = await cluster.exits(3, "cp", "/where/f", "/tmp/none/");
    assert.match(
      missing.stderr,
      /No such file or directory: \/tmp\/none \(a path in the cluster\)/,
    );
    const relative = await cluster.exits(2, "mv", "/where/f", "local");
    assert.match(relative.stderr, /`ashlar put` and `ashlar get` copy from and to this machine/);
  });

  it("is not the source", async () => {
    await cluster.make("/same/x");
    for (const name of ["cp", "mv"]) {
      const { stderr } = await cluster.exits(2, name, "-f", "/same/x", "/same");
      assert.match(stderr, /same file/);
    }
  });
});

describe("a slash after the name of a file", () => {
  it("is an error of commands with one path; the commands with patterns have their own test", async () => {
    await cluster.make("/slash/f", "/slash/to/");
    const { index } = await cluster.fs.writeFile("/slash/now", "x");
    const lines = [
      ["restore", "/slash/f/", "--at", String(index), "--to", "/slash/r"],
      ["restore", "/slash/f", "--at", String(index), "--to", "/slash/r/"],
      ["restore", "--dry-run", "/slash/f", "--at", String(index), "--to", "/slash/r/"],
      ["restore", "--force", "/slash/f", "--at", String(index), "--to", "/slash/now/"],
      ["rmdir", "/slash/f/"],
      ["find", "/slash", "-newer", "/slash/f/"],
      ["touch", "/slash/f/"],
      ["touch", "-r", "/slash/f/", "/slash/now"],
      ["tree", "/slash/f/"],
      ["mkdir", "/slash/f/"],
      ["cp", "/slash/now", "/slash/f/"],
    ];
    for (const line of lines) {
      const { stderr } = await cluster.exits(6, ...line);
      assert.match(stderr, /Not a directory|File exists/, line.join(" "));
    }
    assert.equal((await cluster.files("/slash")).length, 2);
  });

  it("is one of a directory that is missing, as `/.` and `/..` are", async () => {
    await cluster.make("/ends/f", "/ends/to/");
    await writeFile(join(cluster.work, "ends"), "local");
    const { index } = await cluster.fs.writeFile("/ends/last", "x");
    for (const end of ["/", "/.", "/..", "/./"]) {
      for (const line of [
        ["cp", "/ends/f", `/ends/none${end}`],
        ["cp", "-T", "/ends/f", `/ends/none${end}`],
        ["put", "ends", `/ends/none/x${end}`],
        ["put", "-T", "ends", `/ends/none${end}`],
        ["put", "-T", "-", `/ends/none${end}`],
        ["put", "ends/", "/ends/none"],
        ["get", "-T", "/ends/f", `none${end}`],
        ["mv", "/ends/f", `/ends/none/x${end}`],
        ["get", "/ends/f", `none${end}`],
        ["restore", "/ends/f", "--at", String(index), "--to", `/ends/none${end}`],
      ]) {
        const { status, stderr } = await cluster.run(line);
        assert.ok([2, 3, 6].includes(status), `${line.join(" ")}: ${status} ${stderr}`);
      }
    }
    for (const flags of [[], ["--dry-run"]]) {
      const line = ["restore", ...flags, "/ends/f", "--at", String(index), "--to", "/ends/to/.."];
      assert.match((await cluster.exits(2, ...line)).stderr, /Cannot restore to/);
    }
    assert.deepEqual(await cluster.files("/ends"), ["/ends/f=/ends/f", "/ends/last=x"]);
    await cluster.exits(0, "cp", "/ends/f", "/ends/to/.");
    assert.equal((await cluster.files("/ends/to")).length, 1);
  });
});

describe("paths whose last name is a dot name", () => {
  for (const [name, ...flags] of [["rm", "-r", "--yes"], ["rmdir"], ["mv"]] as const) {
    it(`are refused by ${name}`, async () => {
      await cluster.make("/dots/a/b/", "/dots/a/f", "/dots/to/");
      for (const path of ["/dots/a/b/..", "/dots/a/b/.", "/dots/a/b/../", "/dots/a/b/.//", "/.."]) {
        const target = name === "mv" ? ["/dots/to"] : [];
        const { stderr } = await cluster.exits(2, name, ...flags, "/dots/a/f", path, ...target);
        assert.match(stderr, /expected a last name that is not/);
      }
      assert.deepEqual(await cluster.files("/dots"), ["/dots/a/f=/dots/a/f"]);
    });
  }
});

describe("--deadline", () => {
  it("of more than 2^31 ms does not end a command at once", async () => {
    for (const deadline of ["25d", "400d"])
      await cluster.exits(0, "--deadline", deadline, "ls", "/");
    await cluster.exits(124, "--deadline", "1ms", "watch", "/");
  });
});
