import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import type { CommandContext } from "../../../client/cli/command.ts";
import { run as ls } from "../../../client/cli/commands/ls.ts";
import { run as tree } from "../../../client/cli/commands/tree.ts";
import { Output } from "../../../client/cli/output.ts";
import { MemoryCliEnv } from "../../support/memory-cli-env.ts";
import { CliCluster } from "../support/cli-cluster.ts";

let cluster: CliCluster;

before(async () => {
  cluster = await CliCluster.start();
});
after(() => cluster[Symbol.asyncDispose]());

/** An output that runs `task` once, when `text` has been written. */
class HookedOutput extends Output {
  readonly #text: string;
  readonly #task: () => Promise<void>;
  #isDone = false;

  constructor(env: MemoryCliEnv, text: string, task: () => Promise<void>) {
    super(env, {
      json: false,
      quiet: false,
      verbosity: 0,
      color: "never",
      progress: "never",
      onClosed: "stop",
    });
    this.#text = text;
    this.#task = task;
  }

  override async bytes(bytes: Uint8Array): Promise<void> {
    await super.bytes(bytes);
    await this.#hook(Buffer.from(bytes).toString());
  }

  override async line(text: string): Promise<void> {
    await super.line(text);
    await this.#hook(text);
  }

  async #hook(text: string): Promise<void> {
    if (this.#isDone || !text.includes(this.#text)) return;
    this.#isDone = true;
    await this.#task();
  }
}

describe("a directory that is removed while a command prints the tree", () => {
  for (const [name, run, expected] of [
    ["ls -R", ls, /\/ls\/b:\nfile\n$/],
    ["tree", tree, /b\n {4}└── file\n\n2 directories, 1 file\n$/],
  ] as const) {
    it(`does not end ${name}`, async () => {
      const top = `/${run === ls ? "ls" : "tree"}`;
      await cluster.make(`${top}/a/file`, `${top}/b/file`);
      const env = new MemoryCliEnv();
      const output = new HookedOutput(env, "a", () =>
        cluster.fs.removeTree(`${top}/a`).then(() => {}),
      );
      const { signal } = new AbortController();
      const fileSystem = async () => cluster.fs;
      const context = { env, output, signal, fileSystem } as unknown as CommandContext;
      await run(context, [top], { recursive: true });
      assert.match(env.stdout.text(), expected);
    });
  }
});
