import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { join } from "node:path";
import { describe, it } from "node:test";
import { missingRequirements } from "../../scripts/soak/requirements.ts";
import { ROOT } from "../support/repository.ts";

const SOAK = join(ROOT, "scripts/soak-data.mjs");
const missing = await missingRequirements([]);
/** The machine may run other work: only a standstill is a failure of this test. */
const STALL_MS = "30000";

function soak(...parameters: string[]): Promise<{ stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    const options = { encoding: "utf8", maxBuffer: 16 * 1024 * 1024 } as const;
    execFile(process.execPath, [SOAK, ...parameters], options, (_, stdout, stderr) => {
      resolve({ stdout, stderr });
    });
  });
}

describe("the soak of the data path", () => {
  it("serves 64 writers and 64 readers with a slow disk and a killed server (G5, G7)", {
    skip: missing.length > 0 && `this machine lacks ${missing.join("; ")}`,
  }, async () => {
    const { stdout, stderr } = await soak("--minutes", "1", "--stall-ms", STALL_MS, "--json");
    const report = JSON.parse(stdout || "{}") as {
      readonly violations?: unknown;
      readonly shortcomings?: unknown;
    };
    assert.deepEqual(report.violations, [], stderr);
    assert.deepEqual(report.shortcomings, [], stderr);
  });

  it("refuses a number of writers that is not one", async () => {
    const { stdout, stderr } = await soak("--writers", "none");
    assert.match(
      stderr,
      /Cannot use --writers: expected a number of at least 0: current value is none/,
    );
    assert.equal(stdout, "");
  });
});
