import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { missingRequirements } from "../../scripts/soak/requirements.ts";
import type { SoakReport } from "../../scripts/soak/soak-report.ts";
import { ROOT } from "../support/repository.ts";

const SOAK = join(ROOT, "scripts/soak-meta.mjs");
const missing = await missingRequirements(["power-cut"]);
const lacksForErrors = await missingRequirements(["io-error"]);

/** Runs the soak and resolves when it exits. */
function soak(
  ...parameters: string[]
): Promise<{ status: number; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    const options = { encoding: "utf8", maxBuffer: 16 * 1024 * 1024 } as const;
    execFile(process.execPath, [SOAK, ...parameters], options, (error, stdout, stderr) => {
      const status = error === null ? 0 : Number((error as { code?: unknown }).code ?? -1);
      resolve({ status, stdout, stderr });
    });
  });
}

describe("the soak of real processes", () => {
  // The soak mounts file systems, which needs root. Without root the test is skipped with the
  // reason.
  it("loses nothing acknowledged when the leader, a chunkserver or all masters lose power (G1, G6)", {
    skip: missing.length > 0 && `this machine lacks ${missing.join("; ")}`,
  }, async () => {
    const faults = ["--faults", "power-cut", "--power-cuts", "3"];
    const { status, stdout, stderr } = await soak("--minutes", "0", "--json", ...faults);
    const report = JSON.parse(stdout || "{}") as Partial<SoakReport>;
    assert.deepEqual(report.violations, [], stderr);
    assert.deepEqual(report.shortcomings, []);
    assert.ok((report.disksCut?.ext4 ?? 0) > 0 && (report.disksCut?.xfs ?? 0) > 0);
    assert.equal(status, 0);
  });

  // Each founder must run before the cluster is founded (decision 13), and each chunkserver needs a
  // token (decision 19): the errors are injected before both.
  it("meets I/O errors in the first starts of a founder and of a chunkserver", {
    skip: lacksForErrors.length > 0 && `this machine lacks ${lacksForErrors.join("; ")}`,
  }, async () => {
    const cases = ["--faults", "io-error", "--io-cases", "at first start: fdatasync"];
    const { stdout, stderr } = await soak("--minutes", "0", "--json", ...cases);
    const report = JSON.parse(stdout || "{}") as Partial<SoakReport>;
    assert.deepEqual(report.violations, [], stderr);
    const faults = report.faults ?? [];
    assert.deepEqual(
      faults.filter(({ fired }) => fired === 0),
      [],
    );
    for (const step of ["master at first start: fdatasync of founders", "credential"]) {
      assert.ok(
        faults.some(({ what }) => what.includes(step)),
        `no error in ${step}`,
      );
    }
    // A run without a change of leader fails, and keeps its directory.
    const [, directory] = /less (\S+)\/journal\.jsonl/.exec(stderr) ?? [];
    if (directory !== undefined) await rm(directory, { recursive: true });
  });

  it("refuses an unknown kind of fault", async () => {
    const { status, stderr } = await soak("--faults", "earthquake");
    assert.equal(status, 2);
    assert.match(stderr, /expected names among power-cut, .*: found "earthquake"/);
  });
});
