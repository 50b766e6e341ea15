import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import { after, before, describe, it } from "node:test";
import type { CommandContext } from "../../../client/cli/command.ts";
import { run as rm } from "../../../client/cli/commands/rm.ts";
import { main } from "../../../client/cli/main.ts";
import { AshlarError } from "../../../shared/base/errors.ts";
import { MemoryCliEnv } from "../../support/memory-cli-env.ts";
import { CliCluster } from "../support/cli-cluster.ts";
import { eventually } from "../support/loopback-cluster.ts";

let cluster: CliCluster;

before(async () => {
  cluster = await CliCluster.start();
});
after(() => cluster[Symbol.asyncDispose]());

/** The input of a terminal. */
class TerminalInput extends PassThrough {
  readonly isTTY = true;
  /** Whether keys that make signals are passed on as characters. */
  isRaw = false;

  setRawMode(isRaw: boolean): void {
    this.isRaw = isRaw;
  }
}

/** A command that runs on a terminal, and the keys of its user. */
class Session {
  readonly #stdin = new TerminalInput();
  readonly #env: MemoryCliEnv;
  readonly #status: Promise<number>;
  #questionCount = 0;

  constructor(...line: string[]) {
    const { variables, work } = cluster;
    const options = { variables, workingDirectory: work, input: this.#stdin, columns: 80 };
    this.#env = new MemoryCliEnv(options);
    this.#status = main(line, this.#env);
  }

  /** Resolves with the text on the terminal when the next question was asked. */
  async question(): Promise<string> {
    this.#questionCount += 1;
    const asked = (): number => this.#text().split("[y/N] ").length - 1;
    await eventually("a question is asked", () => asked() === this.#questionCount);
    return this.#text();
  }

  /** Types a line. */
  type(line: string): void {
    this.#stdin.write(`${line}\n`);
  }

  /** Presses Ctrl-C. */
  interrupt(): void {
    if (this.#stdin.isRaw) this.#stdin.write("\x03");
    else this.#env.signals.emit("SIGINT");
  }

  /** Presses Ctrl-D at the beginning of a line. */
  endInput(): void {
    if (this.#stdin.isRaw) this.#stdin.write("\x04");
    else this.#stdin.end();
  }

  /** Resolves when the command has ended. */
  async end(): Promise<{ readonly status: number; readonly text: string }> {
    return { status: await this.#status, text: this.#text() };
  }

  #text(): string {
    return this.#env.stderr.text();
  }
}

describe("a question", () => {
  it("is answered for each item", async () => {
    await cluster.make("/q/a", "/q/b", "/q/c");
    const session = new Session("rm", "-i", "/q/a", "/q/b", "/q/c");
    assert.match(await session.question(), /^Remove \/q\/a\? \[y\/N\] $/);
    session.type("y");
    await session.question();
    session.type("no");
    await session.question();
    session.type("YES");
    assert.equal((await session.end()).status, 0);
    assert.deepEqual(await cluster.files("/q"), ["/q/b=/q/b"]);
  });

  it("is ended by Ctrl-C, which asks and does nothing more", async () => {
    await cluster.make("/int/a", "/int/b");
    const session = new Session("rm", "-i", "/int/a", "/int/b");
    await session.question();
    session.interrupt();
    const { status, text } = await session.end();
    assert.equal(status, 130);
    assert.match(text, /\[y\/N\] \nashlar: The command was interrupted/);
    assert.equal((await cluster.files("/int")).length, 2);
  });

  it("is answered with no by Ctrl-D, and so are all later questions", async () => {
    await cluster.make("/eof/a", "/eof/b");
    const session = new Session("rm", "-i", "/eof/a", "/eof/b");
    await session.question();
    session.endInput();
    assert.equal((await session.end()).status, 0);
    assert.equal((await cluster.files("/eof")).length, 2);
  });

  it("about a tree has the number of its entries", async () => {
    await cluster.make("/tree/a", "/tree/d/b", "/tree/d/e/");
    const session = new Session("rm", "-r", "/tree");
    const expected = "Remove /tree and everything in it (4 entries)? [y/N] ";
    assert.equal(await session.question(), expected);
    session.type("n");
    assert.equal((await session.end()).status, 0);
    assert.deepEqual(await cluster.files("/tree"), ["/tree/a=/tree/a", "/tree/d/b=/tree/d/b"]);
  });

  it("about an empty directory is no permission to remove what appears in it", async () => {
    await cluster.make("/late/d/");
    const session = new Session("rm", "-r", "-i", "/late/d");
    await session.question();
    await cluster.make("/late/d/new");
    session.type("y");
    const { status, text } = await session.end();
    assert.equal(status, 6, text);
    assert.match(text, /Directory not empty: \/late\/d/);
    assert.deepEqual(await cluster.files("/late"), ["/late/d/new=/late/d/new"]);
  });

  it("about all deletions of a sync is asked once, after the other changes", async () => {
    await cluster.make("/sync-ask/from/a", "/sync-ask/to/b", "/sync-ask/to/c/d");
    const line = ["sync", "--delete", "ashlar:/sync-ask/from", "ashlar:/sync-ask/to"];
    for (const [answer, left] of [
      ["n", ["a", "b", "c/d"]],
      ["y", ["a"]],
    ] as const) {
      const session = new Session(...line);
      const asked = /Delete 3 entries of ashlar:\/sync-ask\/to that the source does not have\?/;
      assert.match(await session.question(), asked);
      assert.ok(await cluster.fs.exists("/sync-ask/to/a"));
      session.type(answer);
      const { status, text } = await session.end();
      assert.equal(status, 0, text);
      const paths = (await cluster.files("/sync-ask/to")).map((file) => file.split("=")[0]);
      assert.deepEqual(
        paths,
        left.map((name) => `/sync-ask/to/${name}`),
      );
      if (answer === "n") assert.match(text, /added 1, .* skipped 3;/);
    }
    await cluster.fs.writeFile("/sync-ask/to/a", "other", { replace: true });
    const session = new Session("sync", "-i", "ashlar:/sync-ask/from", "ashlar:/sync-ask/to");
    assert.match(await session.question(), /^Replace ashlar:\/sync-ask\/to\/a\? \[y\/N\] $/);
    session.type("no");
    assert.match((await session.end()).text, /skipped 1;/);
    assert.equal(await cluster.fs.readText("/sync-ask/to/a"), "other");
    // The content that was compared is copied, or none: its time must be that of the content.
    const late = new Session("sync", "-i", "ashlar:/sync-ask/from", "ashlar:/sync-ask/to");
    await late.question();
    await cluster.fs.writeFile("/sync-ask/from/a", "newest", { replace: true });
    late.type("yes");
    const { status, text } = await late.end();
    assert.equal(status, 8, text);
    assert.equal(await cluster.fs.readText("/sync-ask/to/a"), "other");
  });

  it("stands on a line without a progress bar", async () => {
    await cluster.make("/bar/x");
    const session = new Session("get", "-i", "/bar/x", "bar");
    assert.equal((await session.end()).status, 0);
    const again = new Session("get", "-i", "/bar/x", "bar");
    assert.match(await again.question(), /^Replace bar\? \[y\/N\] $/);
    again.type("n");
    assert.match((await again.end()).text, /got 0 files.* 1 skipped/);
  });
});

describe("the note of rm on a terminal about a full cluster", () => {
  it("changes no status if it cannot be made: the file is removed", async () => {
    await cluster.make("/note/x");
    const { fs } = cluster;
    const fileSystem = {
      stat: fs.stat.bind(fs),
      unlink: fs.unlink.bind(fs),
      status: () => Promise.reject(new AshlarError("NO_LEADER", "No leader since the removal")),
    };
    const output = { isTerminal: true, options: { quiet: false, json: false }, detail: () => {} };
    const { signal } = new AbortController();
    const context = { output, signal, fileSystem: async () => fileSystem };
    await rm(context as unknown as CommandContext, ["/note/x"], {});
    assert.deepEqual(await cluster.files("/note"), []);
  });
});
