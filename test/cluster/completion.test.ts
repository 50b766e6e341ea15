import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { after, before, describe, it } from "node:test";
import { textOfBytes } from "../../client/cli/argument-text.ts";
import { COMMANDS } from "../../client/cli/command-table.ts";
import { completionScript } from "../../client/cli/commands/completion.ts";
import { replyTo } from "../../client/cli/completion/complete.ts";
import { remoteCandidates } from "../../client/cli/completion/remote-candidates.ts";
import { CLOSING_QUOTE } from "../../client/cli/completion/shell-quote.ts";
import type { OpenQuote } from "../../client/cli/completion/shells.ts";
import type { FileSystem } from "../../client/file-system.ts";
import { CompletingShell, splitRecords } from "../support/completing-shell.ts";
import { MemoryCliEnv, runCli } from "../support/memory-cli-env.ts";
import { shareCluster } from "../support/shared-cluster.ts";
import { LAUNCHER, type StartedCluster } from "../support/started-cluster.ts";

/** Timeout of the calls of a completion. The deadline of the command would fail on a busy machine. */
const TIMEOUT_MS = 30_000;

const QUOTES: ReadonlyArray<readonly [OpenQuote, string]> = [
  ["none", ""],
  ["single", "'"],
  ["double", '"'],
  ["dollar", "$'"],
];

/**
 * Names with each byte that a name can have. Each byte is first in one name, so the names have no
 * common prefix, and is twice in a row, so that an escape is followed by another one. A completion
 * offers at most 100 names: they are in directories of 90.
 */
const NAMES_BY_DIRECTORY = [1, 2, 3].map((part) => {
  const bytes = Array.from({ length: 255 }, (_, index) => index + 1).filter(
    (byte) => byte !== 0x2f && Math.ceil(byte / 90) === part,
  );
  return [`/bytes/${part}`, bytes.map((byte) => textOfBytes(Buffer.of(byte, byte, 0x61)))] as const;
});

const ODD_NAMES = [
  "plain",
  "a b",
  "it's",
  'say "x"',
  "$HOME",
  "`x`",
  "back\\slash",
  "!bang!",
  "*?[a]{b,c}",
  "#~&;|<>()",
  "line\nend\t",
  "\u001b[31m",
  "ü😀\u2028",
  textOfBytes(Buffer.from([0xff, 0xfe, 0x80])),
  "-dash=:@",
];

let cluster: StartedCluster;

async function reply(...commandArguments: string[]): Promise<Buffer> {
  const { variables, work } = cluster;
  const env = new MemoryCliEnv({ variables, workingDirectory: work });
  const { signal } = new AbortController();
  return replyTo(commandArguments, { env, commands: COMMANDS, signal, timeoutMs: TIMEOUT_MS });
}

/** Returns the records for bash, for a line whose last word has no word breaks. */
async function completed(line: string): Promise<string[]> {
  const text = line.slice(line.lastIndexOf(" ") + 1);
  return splitRecords(await reply("bash", `ashlar ${line}`, "", text));
}

/** Returns the reason to skip a test of a shell, or false. */
function missing(name: string): string | false {
  const { error } = spawnSync(name, ["-c", "true"]);
  return error === undefined ? false : `${name} is not installed`;
}

/** Returns the words that bash reads. */
function readByBash(words: readonly string[]): string[] {
  const script = `printf '%s\\0' ${words.join(" ")}`;
  return splitRecords(spawnSync("bash", ["--norc", "-c", script]).stdout);
}

/** A file system that records the pages that are listed. */
function recordingPages(files: FileSystem): Pick<FileSystem, "listPage"> & { sizes: number[] } {
  const sizes: number[] = [];
  return {
    sizes,
    listPage: async (path, options) => {
      const page = await files.listPage(path, options);
      sizes.push(page.entries.length);
      return page;
    },
  };
}

describe("shell completion", () => {
  let shell: CompletingShell;
  before(async () => {
    cluster = await shareCluster();
    shell = await CompletingShell.start((words) => reply(...words));
    const { fileSystem: files, work } = cluster;
    const many = Array.from(
      { length: 300 },
      (_, index) => `/many/img-${String(index).padStart(3, "0")}`,
    );
    const odd = ODD_NAMES.map((name, index) => `/odd/${index}/${name}`);
    const bytes = NAMES_BY_DIRECTORY.flatMap(([path, names]) =>
      names.map((name) => `${path}/${name}`),
    );
    const paths = [
      ...many,
      "/many/a",
      "/many/jpg",
      ...odd,
      ...bytes,
      "/docs/a b/report",
      "/docs/index",
      "/it's/x",
      "/x:y=z@w/inner",
      "/codes/\u0001a",
      "/codes/\u0002b",
    ];
    const directories = new Set(paths.map((path) => path.slice(0, path.lastIndexOf("/"))));
    await Promise.all([...directories].map((path) => files.mkdir(path, { parents: true })));
    await Promise.all(paths.map((path) => files.create(path)));
    await mkdir(join(work, "local dir"));
    await writeFile(join(work, "local file"), "");
  });
  after(async () => {
    await shell[Symbol.asyncDispose]();
    await cluster[Symbol.asyncDispose]();
  });

  it("offers every byte of names so that bash reads exactly the name, in every quote", async () => {
    for (const [path, names] of NAMES_BY_DIRECTORY) {
      const expected = names.map((name) => `${path}/${name}`).sort();
      for (const [quote, opening] of QUOTES) {
        const [kind, ...texts] = await completed(`ls ${opening}${path}/`);
        assert.equal(kind, "list");
        const words = texts.filter((text) => text !== `${opening}${path}/`);
        assert.equal(words.length, names.length, `${path} ${quote}`);
        const read = readByBash(words.map((word) => word + CLOSING_QUOTE[quote]));
        assert.deepEqual(read.sort(), expected, `${path} ${quote}`);
      }
    }
  });

  it("offers names that a command with patterns takes literally", async () => {
    const paths = [
      ...NAMES_BY_DIRECTORY.flatMap(([path, names]) => names.map((name) => `${path}/${name}`)),
      ...ODD_NAMES.map((name, index) => `/odd/${index}/${name}`),
    ];
    const found = splitRecords(
      (await runCli(["ls", "--null", ...paths], { variables: cluster.variables })).stdoutBytes,
    );
    assert.deepEqual(found.sort(), paths.sort());
  });

  it("completes lines of an interactive bash to exactly one path", async () => {
    const openings = [...QUOTES.map(([, opening]) => opening), "\\"];
    // Each name in two states, each state with six names.
    const lines = ODD_NAMES.flatMap((name, index) =>
      [0, 1].map((turn) => ({
        keys: `ashlar ls ${openings[(index + turn) % openings.length]}/odd/${index}/\t\n`,
        expected: ["ls", `/odd/${index}/${name}`],
      })),
    );
    const script = completionScript("bash");
    const workingDirectory = cluster.work;
    const keys = lines.map((line) => line.keys).join("");
    const read = await shell.typeIntoBash(keys, { script, workingDirectory });
    assert.deepEqual(
      read,
      lines.map(({ expected }) => expected),
    );
  });

  it("completes in an interactive bash at every position", async () => {
    const LEFT = "\u0002";
    const LINES: ReadonlyArray<readonly [string, readonly string[]]> = [
      // readline ends an open quote after the only candidate. A directory is continued in the quote.
      // A directory has no space after it: the name is continued.
      ["ashlar ls /do\tin\t\n", ["ls", "/docs/index"]],
      ["ashlar ls /docs/a\tre\t\n", ["ls", "/docs/a b/report"]],
      ['ashlar ls "/docs/a\tre\t\n', ["ls", "/docs/a b/report"]],
      ["ashlar ls '/it\tx\t\n", ["ls", "/it's/x"]],
      ["ashlar ls /it\tx\t\n", ["ls", "/it's/x"]],
      ["ashlar ls $'/it\tx\t\n", ["ls", "/it's/x"]],
      ["ashlar ls /docs/a\\\tre\t\n", ["ls", "/docs/a b/report"]],
      // A file has a space after it: another word follows.
      ["ashlar ls /docs/in\tnext\n", ["ls", "/docs/index", "next"]],
      ['ashlar ls "/docs/in\tnext\n', ["ls", "/docs/index", "next"]],
      // In the middle of the line.
      [`ashlar ls /docs/in next${LEFT.repeat(5)}\t\n`, ["ls", "/docs/index", "next"]],
      [`ashlar ls /docs/inx${LEFT}\t\n`, ["ls", "/docs/indexx"]],
      // After word breaks of readline.
      ["ashlar ls ashlar:/docs/in\t\n", ["ls", "ashlar:/docs/index"]],
      ["ashlar ls /x:\ti\t\n", ["ls", "/x:y=z@w/inner"]],
      ["ashlar ls /x:y=z\tin\t\n", ["ls", "/x:y=z@w/inner"]],
      ["ashlar find / --newer=/docs/in\t\n", ["find", "/", "--newer=/docs/index"]],
      // The escapes of the two names begin with the same characters.
      ["ashlar ls /codes/\t$'\\x01'\t\n", ["ls", "/codes/\u0001a"]],
      // The common prefix of 300 names, of which 100 are shown.
      ["ashlar ls /many/i\t2\t99\t\n", ["ls", "/many/img-299"]],
      ["ashlar ls /many/\timg-1\t\n", ["ls", "/many/img-1"]],
      ["true; ASHLAR_X=1 ashlar --json ls /docs/in\t\n", ["--json", "ls", "/docs/index"]],
      ["ashlar cluster kill m\t\n", ["cluster", "kill", "m1"]],
      ["ashlar put loc\tf\t /docs/\n", ["put", "local file", "/docs/"]],
      ["ashlar cluster up --dir loc\t\n", ["cluster", "up", "--dir", "local dir/"]],
      ["ashlar put 'local file' /do\tt\n", ["put", "local file", "/docs/t"]],
      ["ashlar get /docs/index loc\tf\t\n", ["get", "/docs/index", "local file"]],
      // Nothing of this machine is offered where a path of the cluster is expected.
      ["ashlar ls /us\t\n", ["ls", "/us"]],
      ["ashlar ls loc\t\n", ["ls", "loc"]],
    ];
    const script = completionScript("bash");
    const keys = LINES.map(([line]) => line).join("");
    const read = await shell.typeIntoBash(keys, { script, workingDirectory: cluster.work });
    for (const [index, [line, expected]] of LINES.entries()) {
      assert.deepEqual(read[index], expected, JSON.stringify(line));
    }
    assert.equal(read.length, LINES.length);
  });

  it("completes in zsh to exactly one path, in every quote", { skip: missing("zsh") }, async () => {
    const openings = QUOTES.map(([, opening]) => opening);
    const odd = ODD_NAMES.map((name, index) => ({
      keys: `ashlar ls ${openings[index % openings.length]}/odd/${index}/\t\r`,
      expected: ["ls", `/odd/${index}/${name}`],
    })).filter((_, index) => index % 3 === 0);
    const lines = [
      ...odd,
      { keys: 'ashlar ls "/docs/a\tre\t\r', expected: ["ls", "/docs/a b/report"] },
      { keys: "ashlar ls /docs/in\tnext\r", expected: ["ls", "/docs/index", "next"] },
      { keys: "ashlar ls --at=1 /docs/inx\u0002\t\r", expected: ["ls", "--at=1", "/docs/inx"] },
      { keys: "ashlar ls /docs/inx\u0002\t\r", expected: ["ls", "/docs/indexx"] },
      { keys: "ashlar find --newer=/docs/in\t\r", expected: ["find", "--newer=/docs/index"] },
      { keys: "ashlar ls /many/i\t2\t99\t\r", expected: ["ls", "/many/img-299"] },
      { keys: "ashlar cluster kill m\t\r", expected: ["cluster", "kill", "m1"] },
      { keys: "ashlar put loc\tf\t /docs/\r", expected: ["put", "local file", "/docs/"] },
      { keys: "ashlar ls /us\t\r", expected: ["ls", "/us"] },
    ];
    // Without the option, zsh completes the whole word and not the part before the cursor.
    const script = `setopt complete_in_word; ${completionScript("zsh")}`;
    const keys = lines.map((line) => line.keys);
    const read = await shell.typeIntoZsh(keys, { script, workingDirectory: cluster.work });
    assert.deepEqual(
      read,
      lines.map(({ expected }) => expected),
    );
  });

  it("offers paths of the cluster in fish", { skip: missing("fish") }, async () => {
    const script = completionScript("fish");
    const candidates = (line: string) => shell.candidatesInFish(line, script);
    assert.deepEqual(await candidates("ashlar ls /do"), ["/docs/"]);
    assert.deepEqual(await candidates('ashlar ls "/docs/a b/'), ["/docs/a b/report"]);
    assert.deepEqual(await candidates("ashlar cluster kill "), ["c1", "m1"]);
    assert.deepEqual(await candidates("ashlar ls /us"), []);
  });

  it("lists a large directory in a few small pages, and shows its common prefix", async () => {
    const files = recordingPages(cluster.fileSystem);
    const textsOf = async (path: string): Promise<string[]> =>
      (await remoteCandidates(files, path, {})).map(({ text }) => text);
    const all = await textsOf("/many/");
    assert.equal(all.length, 100);
    assert.ok(all.includes("/many/a"));
    const images = await textsOf("/many/img");
    assert.equal(images.length, 100);
    // A shell inserts what all candidates have in common: not more than "img-".
    assert.ok(images.includes("/many/img-000") && images.includes("/many/img-100"));
    assert.ok(images.every((text) => text.startsWith("/many/img-")));
    assert.deepEqual(
      await textsOf("/many/img-29"),
      Array.from({ length: 10 }, (_, digit) => `/many/img-29${digit}`),
    );
    assert.ok(files.sizes.length <= 12, `${files.sizes}`);
    assert.ok(Math.max(...files.sizes) <= 101, `${files.sizes}`);
  });

  it("reads the state of --at", async () => {
    const { fileSystem: files } = cluster;
    const { index } = await files.create("/docs/gone");
    await files.unlink("/docs/gone");
    assert.deepEqual(await completed("cat /docs/g"), []);
    assert.deepEqual(await completed(`cat --at ${index} /docs/g`), ["whole", "/docs/gone"]);
  });

  it("honours --cluster on the line", async () => {
    const { variables, work } = cluster;
    const env = new MemoryCliEnv({ workingDirectory: work });
    const { signal } = new AbortController();
    const where = variables["ASHLAR_CLUSTER"] ?? "";
    const deps = { env, commands: COMMANDS, signal, timeoutMs: TIMEOUT_MS };
    for (const line of [
      `--cluster ${where} ls`,
      `ls --cluster=${where}`,
      `--cluster '${where}' ls -l`,
    ]) {
      const records = splitRecords(await replyTo(["fish", `ashlar ${line} /do`, ""], deps));
      assert.deepEqual(records, ["partial", "/docs/"], line);
    }
    assert.deepEqual(splitRecords(await replyTo(["fish", "ashlar ls /do", ""], deps)), []);
  });

  it("completes with the command of the product in bash", () => {
    // The names of nodes are in a file: the deadline of the command has no effect.
    const script = `${completionScript("bash")}
      COMP_LINE='ashlar cluster kill m'; COMP_POINT=\${#COMP_LINE}
      compopt() { printf '<%s>' "$@"; }
      _ashlar ashlar m kill; printf '%s\\n' "\${COMPREPLY[@]}"`;
    const PATH = `${dirname(LAUNCHER)}:${process.env["PATH"]}`;
    const env = { ...process.env, ...cluster.variables, PATH };
    const { stdout, stderr } = spawnSync("bash", ["--norc", "-c", script], {
      env,
      encoding: "utf8",
    });
    assert.deepEqual([stdout, stderr], ["<+o><default>m1\n", ""]);
  });

  it("prints candidates before its deadline", async () => {
    const line = ["__complete", "bash", "ashlar ls /docs/", "", "/docs/"];
    let stdout = "";
    // On a busy machine the deadline of one second can pass.
    for (let attempt = 0; attempt < 30 && stdout === ""; attempt += 1) {
      const result = await runCli(line, { variables: cluster.variables });
      assert.deepEqual([result.status, result.stderr], [0, ""]);
      stdout = result.stdout;
    }
    assert.equal(stdout, "list\0/docs/a\\ b/\0/docs/index\0");
  });
});
