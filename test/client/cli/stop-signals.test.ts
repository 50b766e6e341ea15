import assert from "node:assert/strict";
import { once } from "node:events";
import { describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { CommandContext, CommandDefinition } from "../../../client/cli/command.ts";
import { runCommand } from "../../../client/cli/run-command.ts";
import { MemoryCliEnv } from "../../support/memory-cli-env.ts";

const DEADLINE_MS = 100;

/** Runs a command with this body and a deadline of 100 ms. */
async function run(env: MemoryCliEnv, body: (context: CommandContext) => Promise<void>) {
  const definition: CommandDefinition = {
    name: "test",
    summary: "",
    examples: [],
    onClosedOutput: "continue",
    load: () => Promise.resolve({ run: body }),
  };
  const globals = { json: false, quiet: false, verbose: 0, flags: { deadline: "100ms" } };
  return runCommand(
    definition,
    { commandArguments: [], options: {}, globals },
    { env, commands: [] },
  );
}

describe("a command that was stopped", () => {
  it("finishes its cleanup after Ctrl-C, also if its deadline passes meanwhile", async () => {
    const env = new MemoryCliEnv();
    let isCleaned = false;
    const status = await run(env, async ({ signal }) => {
      env.signals.emit("SIGINT");
      assert.ok(signal.aborted);
      await sleep(2 * DEADLINE_MS); // The exit of the environment throws: see MemoryCliEnv.
      isCleaned = true;
      signal.throwIfAborted();
    });
    assert.deepEqual([status, isCleaned], [130, true]);
  });

  it("is stopped at its deadline", async () => {
    const env = new MemoryCliEnv();
    const status = await run(env, async ({ signal }) => {
      await once(signal, "abort");
      signal.throwIfAborted();
    });
    assert.equal(status, 124);
    assert.match(env.stderr.text(), /stopped at its deadline of 100 ms/);
  });

  it("ends at once at the second Ctrl-C", async () => {
    const env = new MemoryCliEnv();
    await run(env, async () => {
      env.signals.emit("SIGINT");
      assert.throws(() => env.signals.emit("SIGINT"), /with status 130/);
    });
  });
});
