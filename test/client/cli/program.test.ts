import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { COMMAND_NOTES } from "../../../client/cli/command-notes.ts";
import { COMMANDS } from "../../../client/cli/command-table.ts";
import { GLOBAL_OPTIONS } from "../../../client/cli/global-options.ts";
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
  it("refuses an argument that is none of the named values, before anything is read or changed", async () => {
    let count = 0;
    for (const { name, argumentKinds = [] } of COMMANDS) {
      const [first] = argumentKinds;
      if (!Array.isArray(first)) continue;
      const { status, stdout, stderr } = await runCli([...name.split(" "), "bogus"]);
      assert.deepEqual([status, stdout], [2, ""], stderr);
      const expected = `Cannot run "${name}": expected one of ${first.join(", ")}: current value is "bogus"`;
      assert.ok(stderr.includes(expected), stderr);
      count += 1;
    }
    assert.ok(count >= 4, `${count} commands`);
  });

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

  /** Every form of every global option: "-q", "--quiet". */
  const GLOBAL_FLAGS = GLOBAL_OPTIONS.flatMap(({ flags }) => flags.match(/--?[a-z]+/g) ?? []);

  it("takes what follows an option with a value as the value, also a global option", async () => {
    assert.ok(GLOBAL_FLAGS.length > GLOBAL_OPTIONS.length);
    const plain = (await parsed("version")).globals;
    let count = 0;
    for (const { name, options = [], arguments: operands = "" } of COMMANDS) {
      const needed = (operands.match(/<[^>]+>/g) ?? []).map(() => "x");
      const texts = options.filter(({ flags, parse, choices }) => {
        return flags.includes("<") && parse === undefined && choices === undefined;
      });
      for (const { flags } of texts) {
        const option = /--[a-z0-9-]+/.exec(flags)?.[0] ?? "";
        for (const value of GLOBAL_FLAGS) {
          const line = [...name.split(" "), option, value, ...needed];
          const { options: values, globals } = await parsed(...line);
          assert.ok(Object.values(values).flat().includes(value), line.join(" "));
          assert.deepEqual({ ...globals, flags: {} }, { ...plain, flags: {} }, line.join(" "));
          count += 1;
        }
      }
    }
    assert.ok(count >= 100, `${count} values`);
  });

  it("takes what follows a test of find as its value, also a global option", async () => {
    for (const value of [...GLOBAL_FLAGS, "-qv", "-name", "--", "-print0"]) {
      const { name, commandArguments, options, globals } = await parsed(
        ...["find", "/a", "-name", value, "-size", "-1k", "-v", "--json"],
      );
      assert.deepEqual([name, commandArguments, options["name"]], ["find", ["/a"], [value]]);
      assert.deepEqual([globals.quiet, globals.verbose, globals.json], [false, 1, true]);
    }
  });

  it("accepts global options before, after and between the names of a group", async () => {
    for (const line of [
      "--json -v cluster list",
      "cluster --json -v list",
      "cluster list -v --json",
    ]) {
      const { name, globals } = await parsed(...line.split(" "));
      assert.deepEqual([name, globals.json, globals.verbose], ["cluster list", true, 1], line);
    }
    const { globals } = await parsed("config", "--timeout", "5s", "show");
    assert.deepEqual(globals.flags, { timeout: "5s" });
    const help = await runCli(["help", "--json", "ls"]);
    assert.deepEqual([help.status, help.stdout.includes("ashlar ls")], [0, true]);
    const group = await runCli(["cluster", "--help"]);
    assert.doesNotMatch(group.stdout, /--progress/);
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
