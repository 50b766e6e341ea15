import assert from "node:assert/strict";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { describe, it } from "node:test";
import { ROOT_URL } from "../../support/repository.ts";
import { TestStateMachine } from "./harness.ts";
import { checkInvariants } from "./invariants.ts";
import { ScenarioLanguage } from "./scenario-language.ts";

const DIRECTORY = new URL("test/master/namespace/scenarios/", ROOT_URL);
const isUpdate = process.env["UPDATE"] === "1";

/**
 * Scenario files: blocks of comments, commands, "----" and the expected output. `UPDATE=1` writes
 * the actual output to the files; its diff is reviewed like code.
 */
describe("namespace scenarios", () => {
  for (const file of readdirSync(DIRECTORY).filter((name) => name.endsWith(".txt"))) {
    it(file.replace(".txt", "").replaceAll("-", " "), async () => {
      const url = new URL(file, DIRECTORY);
      const expected = readFileSync(url, "utf8");
      const actual = await runScenario(expected);
      if (isUpdate) writeFileSync(url, actual);
      else assert.equal(actual, expected);
    });
  }
});

/** Runs all blocks of a scenario. Checks the invariants after each block. */
async function runScenario(text: string): Promise<string> {
  const machine = await TestStateMachine.make();
  const language = new ScenarioLanguage(machine);
  const blocks: string[] = [];
  for (const block of text.trimEnd().split(/\n\n+/)) {
    const [head = ""] = block.split("\n----");
    const commands = head.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
    const answers = commands.map((line) => language.run(line));
    blocks.push(commands.length === 0 ? head : [head, "----", ...answers].join("\n"));
    await machine.namespace.flush();
    checkInvariants(machine.store);
  }
  return `${blocks.join("\n\n")}\n`;
}
