import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { describe, it } from "node:test";
import { COMMAND_NOTES } from "../../../client/cli/command-notes.ts";
import { COMMANDS } from "../../../client/cli/command-table.ts";
import { completionScript } from "../../../client/cli/commands/completion.ts";
import { type Invocation, runProgram } from "../../../client/cli/program.ts";
import { durationOf, loadSettings, whenOf } from "../../../client/cli/settings.ts";
import { MemoryCliEnv, runCli } from "../../support/memory-cli-env.ts";

const NO_CONFIG = { ASHLAR_CONFIG: "/nonexistent/config.toml" };

/** Parses a command line. Returns the command and the values that it would run with. */
async function parsed(...commandLine: string[]): Promise<Invocation & { readonly name: string }> {
  const found: Array<Invocation & { readonly name: string }> = [];
  const status = await runProgram(commandLine, {
    env: new MemoryCliEnv(),
    commands: COMMANDS,
    run: (definition, invocation) => {
      found.push({ ...invocation, name: definition.name });
      return Promise.resolve(0);
    },
  });
  assert.equal(status, 0);
  const [first] = found;
  assert.ok(first, "a command was run");
  return first;
}

describe("the command line", () => {
  it("accepts global options before and after the command, prefers the later value, and counts -v", async () => {
    const { globals, commandArguments, options } = await parsed(
      "-v",
      "--color",
      "never",
      "ls",
      "-vv",
      "-l",
      "--color",
      "always",
      "--json",
      "/a",
      "/b",
    );
    assert.deepEqual(commandArguments, ["/a", "/b"]);
    assert.deepEqual(
      [globals.json, globals.verbose, globals.flags],
      [true, 3, { color: "always" }],
    );
    assert.equal(options["long"], true);
  });

  it("runs commands of groups, parses values, and parses -h as an option of ls", async () => {
    const up = await parsed("cluster", "up", "--masters", "5", "--wait", "2m");
    assert.deepEqual(
      [up.name, up.options["masters"], up.options["wait"]],
      ["cluster up", 5, 120_000],
    );
    assert.equal((await parsed("ls", "-h")).options["humanReadable"], true);
    assert.equal((await parsed("cat", "--no-glob", "/a*")).options["glob"], false);
    assert.deepEqual((await parsed("cat", "--", "/a", "-v")).commandArguments, ["/a", "-v"]);
  });

  it("says in the help of every command that changes paths what happens to what exists", async () => {
    const changing = COMMANDS.filter(
      ({ name, arguments: operands, onClosedOutput }) =>
        onClosedOutput === "continue" && operands?.match(/path|source|file/) && name !== "verify",
    );
    const names = changing.map(({ name }) => name);
    assert.deepEqual(names.sort(), Object.keys(COMMAND_NOTES).sort());
    for (const name of names) {
      for (const columns of [60, 100]) {
        const { stdout, status } = await runCli([name, "--help"], { columns });
        assert.equal(status, 0);
        const notes = stdout.slice(stdout.indexOf("\nNotes:\n"));
        assert.match(notes, /^\nNotes:\n {2}(Existing|Directories)/);
        for (const line of notes.split("\n")) assert.ok(line.length <= columns, line);
        const words = (text: string): string => text.replaceAll(/\s+/g, " ").trim();
        assert.equal(words(notes), words(["Notes:", ...(COMMAND_NOTES[name] ?? [])].join(" ")));
      }
    }
  });

  it("names the command for a name of another tool", async () => {
    const names = ["upload", "download", "delete", "ln", "sync", "move", "copy", "list"];
    for (const name of names.filter((each) => !COMMANDS.some((command) => command.name === each))) {
      const { status, stderr } = await runCli([name, "/a", "/b"]);
      const hint = /\n {2}hint: ashlar (\w+) /.exec(stderr)?.[1];
      assert.equal(status, 2);
      assert.ok(
        COMMANDS.some((command) => command.name === hint),
        `${name}: ${stderr}`,
      );
    }
    const { stderr } = await runCli(["constructor"]);
    assert.match(stderr, /hint: ashlar --help/);
  });

  it("gives every command a summary and an example with its name", async () => {
    for (const { name, summary, examples } of COMMANDS) {
      assert.notEqual(summary, "", name);
      assert.notEqual(examples.length, 0, name);
      for (const [line] of examples) assert.ok(line.includes(`ashlar ${name}`), line);
    }
  });
});

describe("settings", () => {
  it("come from flags, the environment and defaults, in this order", async () => {
    const environment = {
      ...NO_CONFIG,
      ASHLAR_TIMEOUT: "5s",
      ASHLAR_COLOR: "never",
      ASHLAR_CLUSTER: "",
    };
    const settings = await loadSettings({ color: "always" }, environment);
    assert.deepEqual(settings.timeout, { key: "timeout", value: "5s", origin: "ASHLAR_TIMEOUT" });
    assert.equal(durationOf(settings.timeout), 5_000);
    assert.equal(whenOf(settings.color), "always");
    assert.equal(settings.cluster.origin, "default");
    assert.equal(durationOf(settings.deadline), null);
  });

  it("name the origin of a value that cannot be used", async () => {
    const settings = await loadSettings({}, { ...NO_CONFIG, ASHLAR_PROGRESS: "sometimes" });
    assert.throws(() => whenOf(settings.progress), /ASHLAR_PROGRESS/);
  });
});

describe("completion", () => {
  function completed(...words: string[]): string[] {
    const script = `${completionScript("bash", COMMANDS)}
      COMP_WORDS=(${words.map((word) => `'${word}'`).join(" ")}); COMP_CWORD=${words.length - 1}
      _ashlar; printf '%s\n' "\${COMPREPLY[@]}"`;
    const { stdout, stderr, status } = spawnSync("bash", ["-c", script], { encoding: "utf8" });
    assert.deepEqual([status, stderr], [0, ""]);
    return stdout.split("\n").filter((line) => line !== "");
  }

  it("completes commands, commands of groups, topics and flags in bash", () => {
    assert.deepEqual(completed("ashlar", "ch"), ["chunkserver", "checksum", "chmod", "chown"]);
    assert.deepEqual(completed("ashlar", "cluster", "st"), ["status", "start"]);
    assert.deepEqual(completed("ashlar", "help", "exit"), ["exit-codes"]);
    assert.deepEqual(completed("ashlar", "put", "--re"), ["--recursive", "--resume"]);
    assert.deepEqual(completed("ashlar", "cluster", "up", "--chunks"), ["--chunkservers"]);
    assert.deepEqual(completed("ashlar", "put", "file"), []);
  });

  const OTHERS = [
    ["zsh", "-f", "print $_comps[ashlar]", "_bash_complete -o default -F _ashlar"],
    ["fish", "--no-config", "complete -C 'ashlar cluster st'", "start\nstatus"],
  ] as const;
  for (const [shell, noConfig, ask, expected] of OTHERS) {
    const isInstalled = spawnSync(shell, ["-c", "true"]).error === undefined;
    const skip = isInstalled ? false : `${shell} is not installed`;
    it(`completes in ${shell}`, { skip }, () => {
      const script = `${completionScript(shell, COMMANDS)}\n${ask}`;
      const { status, stdout, stderr } = spawnSync(shell, [noConfig, "-c", script], {
        encoding: "utf8",
      });
      assert.deepEqual([status, stdout.trim(), stderr], [0, expected, ""]);
    });
  }

  it("refuses an unknown shell", () => {
    assert.throws(() => completionScript("tcsh", COMMANDS), { code: "INVALID_ARGUMENT" });
  });
});
