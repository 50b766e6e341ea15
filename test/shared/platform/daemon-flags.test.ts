import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { isAshlarError } from "../../../shared/base/errors.ts";
import { parseDaemonFlags } from "../../../shared/platform/daemon-flags.ts";

const KEYS = ["dataDir", "listen", "http"];
const parse = (...commandLine: string[]) => parseDaemonFlags({ role: "master" }, KEYS, commandLine);

function refusal(...commandLine: string[]): { message: string; hint: string | undefined } {
  try {
    parse(...commandLine);
  } catch (error) {
    assert.ok(isAshlarError(error, "INVALID_ARGUMENT"), String(error));
    return { message: error.message, hint: error.hint };
  }
  throw new Error("The command line is accepted");
}

describe("parseDaemonFlags", () => {
  it("returns values by config key", () => {
    assert.deepEqual(parse("--data-dir", "/d", "--listen=h:1", "--config", "f"), {
      dataDir: "/d",
      listen: "h:1",
      config: "f",
    });
    assert.deepEqual(parse("--help"), { help: "true" });
  });

  it("accepts an operand without a flag if the role has one", () => {
    const definition = { role: "restore-cluster", operand: "backup" };
    assert.deepEqual(parseDaemonFlags(definition, ["backup"], ["file"]), { backup: "file" });
  });

  it("refuses an unknown flag in one sentence, with the nearest flag in the hint", () => {
    assert.deepEqual(refusal("--listn", "h:1"), {
      message: "Cannot read the command line: Unknown option '--listn'",
      hint: "Did you mean --listen? ashlar master --help lists the flags",
    });
    assert.deepEqual(refusal("--threads", "1"), {
      message: "Cannot read the command line: Unknown option '--threads'",
      hint: "ashlar master --help lists the flags",
    });
  });

  it("refuses a flag without its value, and an argument without a flag", () => {
    assert.match(refusal("--listen").message, /'--listen <value>' argument missing$/);
    assert.match(refusal("file").message, /Unexpected argument 'file'$/);
  });
});
