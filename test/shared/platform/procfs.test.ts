import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { describe, it } from "node:test";
import {
  descriptorPath,
  hasProcess,
  readBootId,
  readCommandLine,
  readProcessStat,
  readProcessStatus,
} from "../../../shared/platform/procfs.ts";

/** Above the largest pid of Linux, 2^22 (proc(5), pid_max). */
const NO_PID = 2 ** 22 + 1;

describe("procfs", { skip: process.platform !== "linux" }, () => {
  it("reads the state, the start time and the CPU time of a process", () => {
    const stat = readProcessStat(process.pid);
    assert.equal(stat?.state, "R");
    assert.match(stat?.startTicks ?? "", /^\d+$/);
    const { user, system } = process.cpuUsage();
    assert.ok(Math.abs((stat?.cpuSeconds ?? 0) - (user + system) / 1e6) < 1);
  });

  it("reads the resident memory in bytes, and a field without a unit as it is", () => {
    const residentBytes = readProcessStatus(process.pid, "VmRSS") ?? 0;
    assert.ok(Math.abs(residentBytes - process.memoryUsage().rss) < 64 * 2 ** 20);
    assert.equal(readProcessStatus(process.pid, "TracerPid"), 0);
    assert.equal(readProcessStatus(process.pid, "NoSuchField"), null);
  });

  it("returns null for a process that does not exist", () => {
    assert.equal(hasProcess(NO_PID), false);
    assert.equal(readProcessStat(NO_PID), null);
    assert.equal(readProcessStatus(NO_PID, "VmRSS"), null);
  });

  it("reports a stopped process as existing, in state T", async () => {
    const child = spawn("sleep", ["60"], { stdio: "ignore" });
    const pid = child.pid as number;
    try {
      process.kill(pid, "SIGSTOP");
      while (readProcessStat(pid)?.state !== "T") await new Promise(setImmediate);
      assert.equal(hasProcess(pid), true);
    } finally {
      child.kill("SIGKILL");
    }
  });

  it("reads the boot id and the command line of this process", () => {
    assert.match(readBootId() ?? "", /^[0-9a-f-]{36}$/);
    assert.equal(readCommandLine()?.toString("utf8").split("\0")[0], process.argv0);
  });

  it("opens the file behind a descriptor", async () => {
    await using file = await open(new URL(import.meta.url));
    assert.deepEqual(readFileSync(descriptorPath(file.fd)), readFileSync(new URL(import.meta.url)));
  });
});
