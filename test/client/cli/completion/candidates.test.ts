import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdir, writeFile } from "node:fs/promises";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { COMMANDS } from "../../../../client/cli/command-table.ts";
import { completionOf } from "../../../../client/cli/completion/candidates.ts";
import { replyTo } from "../../../../client/cli/completion/complete.ts";
import { expectedWord } from "../../../../client/cli/completion/expected-word.ts";
import { parseShellLine } from "../../../../client/cli/completion/shell-line.ts";
import { GLOBAL_OPTIONS } from "../../../../client/cli/global-options.ts";
import { MemoryCliEnv, runCli } from "../../../support/memory-cli-env.ts";
import { TempDirectory } from "../../../support/temp-directory.ts";

/** Returns what the word at the end of a line can be. `|` is the cursor. */
function valueAt(text: string): unknown {
  const [before = "", rest = ""] = text.split("|");
  const line = parseShellLine(`ashlar ${before}`, "bash");
  assert.ok(line);
  const hasMore = /\s[^\s-]/.test(rest);
  return expectedWord({ words: line.words.slice(1), word: line.word ?? "$", hasMore }, COMMANDS)
    .value;
}

describe("the table of commands", () => {
  it("declares the kind of every argument and of every value of an option", () => {
    for (const { name, arguments: notation, argumentKinds, options = [] } of COMMANDS) {
      const words = notation?.split(" ") ?? [];
      const isTransfer = argumentKinds?.some(
        (kind) => typeof kind === "object" && "source" in kind,
      );
      assert.equal(argumentKinds?.length ?? 0, words.length, `arguments of ${name}`);
      if (isTransfer === true) assert.equal(words.length, 1, `one list of arguments: ${name}`);
      for (const { flags, choices, valueKind } of [...options, ...GLOBAL_OPTIONS]) {
        const isDeclared = choices !== undefined || valueKind !== undefined;
        assert.equal(isDeclared, flags.includes("<"), `${name} ${flags}`);
      }
    }
  });
});

describe("the word at the cursor", () => {
  // A word that only a shell can expand, such as `$HOME/b`, is local where it can be.
  const LINES: ReadonlyArray<readonly [string, unknown]> = [
    ["ls |", "remote-path"],
    ["ls /a |", "remote-path"],
    ["ls -l --limit 5 |", "remote-path"],
    ["ls --limit |", "number"],
    ["ls --limit=|", "number"],
    ["head -n |", "number"],
    ["head -n5 |", "remote-path"],
    ["head -20 |", "remote-path"],
    ["put |", "local-path"],
    ["put /|", "local-path"],
    ["put a |", "remote-path"],
    ["put a /b|", "remote-path"],
    ["put a ashlar:/b|", "remote-path"],
    ["put a b|", "local-path"],
    ["put a $HOME/b|", "local-path"],
    ["put a | /target", "local-path"],
    ["put -r /a| /target", "local-path"],
    ["put --files-from |", "local-path"],
    ["put --files-from list /|", "remote-path"],
    ["get |", "remote-path"],
    ["get /a |", "local-path"],
    ["get /a b|", "local-path"],
    ["get /a /b|", "either-path"],
    ["get /a ashlar:/b|", "remote-path"],
    ["get /a /b| target", "remote-path"],
    ["get | target", "remote-path"],
    ["mv /a |", "remote-path"],
    ["verify |", "remote-path"],
    ["sync |", "marked-path"],
    ["sync ashlar:/a |", "marked-path"],
    ["checksum --check |", "local-path"],
    ["checksum |", "remote-path"],
    ["chmod |", "number"],
    ["chmod 644 |", "remote-path"],
    ["find / -newer |", "remote-path"],
    ["find / -name |", "text"],
    ["restore --to=|", "remote-path"],
    ["restore /a |", "text"],
    ["history |", "remote-path"],
    ["history trim |", "text"],
    ["backup |", "local-path"],
    ["txn |", "local-path"],
    ["touch -cr |", "remote-path"],
    ["touch -r|", "text"],
    ["rm -- -|", "remote-path"],
    ["rm -- -x|", "remote-path"],
    ["cluster kill |", "node"],
    ["cluster start |", "node"],
    ["cluster logs m1 |", "node"],
    ["cluster use |", "cluster"],
    ["cluster use a |", "local-directory"],
    ["cluster forget |", "cluster"],
    ["cluster up --dir |", "local-directory"],
    ["--cluster |", "cluster-address"],
    ["--cluster x ls |", "remote-path"],
    ["-v --cluster=x --json ls |", "remote-path"],
    ["ls --cluster |", "cluster-address"],
    ["gateway --config |", "local-path"],
    ["nonsense |", "text"],
  ];
  it("has the kind that the table declares", () => {
    for (const [line, kind] of LINES) assert.deepEqual(valueAt(line), kind, line);
  });
});

describe("a completion without a cluster", () => {
  let directory: TempDirectory;
  let variables: Readonly<Record<string, string>>;
  before(async () => {
    directory = await TempDirectory.make();
    await mkdir(join(directory.path, "local"));
    const node = (name: string, role: string) => ({
      name,
      role,
      address: "127.0.0.1:1",
      http: "127.0.0.1:2",
    });
    await writeFile(
      join(directory.path, "local/cluster.json"),
      JSON.stringify({
        schema: "ashlar.local-cluster/1",
        clusterId: "0".repeat(32),
        nodes: [node("m1", "master"), node("c1", "chunkserver"), node("c2", "chunkserver")],
      }),
    );
    const config = join(directory.path, "config.toml");
    await writeFile(config, '[clusters]\nprod = "127.0.0.1:1"\nlocal = "local"\n');
    variables = { ASHLAR_CONFIG: config };
  });
  after(async () => {
    await directory[Symbol.asyncDispose]();
  });

  async function completed(line: string): Promise<string[]> {
    const env = new MemoryCliEnv({ variables, workingDirectory: directory.path });
    const deps = {
      env,
      commands: COMMANDS,
      signal: new AbortController().signal,
      timeoutMs: 1_000,
    };
    const text = line.slice(line.lastIndexOf(" ") + 1);
    const reply = await replyTo(["bash", `ashlar ${line}`, "", text], deps);
    return reply.toString().split("\0").slice(0, -1);
  }

  const LINES: ReadonlyArray<readonly [string, string[]]> = [
    ["ch", ["list", "checksum", "chmod", "chown", "chunkserver"]],
    ["--json cluster st", ["list", "status", "start"]],
    ["help exit", ["whole", "exit-codes"]],
    ["help conf", ["whole", "config"]],
    ["help cluster us", ["whole", "use"]],
    ["put --re", ["list", "--recursive", "--resume"]],
    ["cluster up --chunks", ["whole", "--chunkservers"]],
    ["find -na", ["whole", "-name"]],
    ["history tr", ["whole", "trim"]],
    ["--cl", ["whole", "--cluster"]],
    ["ls --read-mode s", ["list", "session", "stale"]],
    ["ls --read-mode=st", ["whole", "--read-mode=stale"]],
    ["cluster add m", ["whole", "master"]],
    ["completion ", ["list", "bash", "zsh", "fish"]],
    ["cluster kill --dir local ", ["list", "m1", "c1", "c2"]],
    ["--cluster local cluster kill c", ["list", "c1", "c2"]],
    ["cluster start --dir=nothing ", []],
    ["cluster use ", ["list", "local", "prod"]],
    ["--cluster=pr", ["whole", "--cluster=prod"]],
    ["--cluster /", ["directories"]],
    ["cluster up --dir ", ["directories"]],
    ["put ", ["files"]],
    ["sync ", ["files"]],
    ["sync /a", ["files"]],
    ["sync ashlar:/a", []],
    ["cat /a > ", ["files"]],
    ["put $a/", ["files"]],
    ["cat $a/", []],
    ["cat /a", []],
    ["cat relative", []],
    ["chmod ", []],
    ["nonsense ", []],
    ["ls | cat ", []],
  ];
  it("offers commands, flags, choices, nodes, clusters and files", async () => {
    for (const [line, expected] of LINES) assert.deepEqual(await completed(line), expected, line);
  });

  it("fails without output and with status 0, also if nothing answers", async () => {
    const failing = [
      ["bash", "ashlar ls /a", "", "/a"],
      ["bash", "ashlar --cluster prod ls /a", "", "/a"],
      ["bash", "ashlar --cluster nothing ls /a", "", "/a"],
      ["tcsh", "ashlar ls /a"],
      [],
    ];
    for (const commandArguments of failing) {
      const result = await runCli(["__complete", ...commandArguments], { variables });
      assert.deepEqual(result.status, 0);
      assert.deepEqual([result.stdout, result.stderr], ["", ""]);
    }
    const broken = { ASHLAR_CONFIG: directory.path };
    const result = await runCli(["__complete", "bash", "ashlar cluster use ", "", ""], {
      variables: broken,
    });
    assert.deepEqual([result.status, result.stdout, result.stderr], [0, "", ""]);
  });

  it("ends at its deadline if a master accepts connections and does not answer", async () => {
    const sockets: Socket[] = [];
    const server = createServer((socket) => sockets.push(socket.on("error", () => {})));
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    const line = `ashlar --cluster 127.0.0.1:${port} ls /a`;
    const result = await runCli(["__complete", "bash", line, "", "/a"], { variables });
    assert.deepEqual([result.status, result.stdout, result.stderr], [0, "", ""]);
    assert.ok(sockets.length > 0);
    for (const socket of sockets) socket.destroy();
    server.close();
  });

  it("has no script for an unknown shell", async () => {
    const { status, stderr } = await runCli(["completion", "tcsh"], { variables });
    assert.equal(status, 2);
    assert.match(stderr, /expected one of bash, zsh, fish: current value is "tcsh"/);
  });

  // The hidden command turns this error into an empty reply.
  it("is an error for the caller if the cluster is down", async () => {
    const env = new MemoryCliEnv({ variables });
    const deps = { env, commands: COMMANDS, signal: new AbortController().signal, timeoutMs: 100 };
    const line = { words: ["--cluster", "prod", "ls"], word: "/a", hasMore: false };
    await assert.rejects(completionOf(deps, line), { name: "AshlarError" });
  });
});
