import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { describe, it } from "node:test";
import { AshlarError, isAshlarError } from "../../../shared/base/errors.ts";
import { createLog, createLogTo, type LogLevel } from "../../../shared/platform/pino-log.ts";
import type { LogFields } from "../../../shared/ports/log.ts";
import { TempDirectory } from "../../support/temp-directory.ts";

function capture(level: LogLevel, fields: LogFields = {}) {
  const lines: string[] = [];
  const log = createLogTo({ write: (line) => lines.push(line) }, { level, fields });
  return { log, read: () => lines.map((line) => JSON.parse(line) as Record<string, unknown>) };
}

describe("log", () => {
  it("writes one JSON object per line, with time, level, message and fields", () => {
    const { log, read } = capture("debug", { role: "master" });
    log.child({ member: 1 }).warn("A peer is slow", { peer: 2, lagMs: 5n });
    const [line] = read();
    assert.match(String(line?.["time"]), /^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
    const { time: _time, ...rest } = line ?? {};
    assert.deepEqual(rest, {
      level: "warn",
      role: "master",
      member: 1,
      peer: 2,
      lagMs: 5,
      message: "A peer is slow",
    });
  });

  it("omits lines below its level", () => {
    const { log, read } = capture("warn");
    log.debug("a");
    log.info("b");
    log.warn("c");
    log.error("d");
    assert.deepEqual(
      read().map((line) => line["message"]),
      ["c", "d"],
    );
  });

  it("prints an error with code, hint, stack and its chain of causes", () => {
    const { log, read } = capture("info");
    const root = Object.assign(new Error("write failed"), { code: "EIO" });
    const error = new AshlarError("DISK_FAILED", "Cannot sync", {
      cause: root,
      hint: "Replace it",
    });
    log.error("The disk failed", { error });
    const printed = read()[0]?.["error"] as Record<string, unknown>;
    assert.equal(printed["code"], "DISK_FAILED");
    assert.equal(printed["hint"], "Replace it");
    assert.match(String(printed["stack"]), /pino-log\.test/);
    const cause = printed["cause"] as Record<string, unknown>;
    assert.equal(cause["message"], "write failed");
    assert.equal(cause["code"], "EIO");
  });

  it("appends to a file before the call returns, and creates its directory", async () => {
    await using directory = await TempDirectory.make();
    const to = `${directory.path}/log/master.log`;
    createLog({ to, level: "info" }).info("first");
    createLog({ to, level: "info" }).info("second");
    const lines = (await readFile(to, "utf8")).trimEnd().split("\n");
    assert.deepEqual(
      lines.map((line) => (JSON.parse(line) as { message: string }).message),
      ["first", "second"],
    );
  });

  it("refuses a file that it cannot open", async () => {
    await using directory = await TempDirectory.make();
    assert.throws(
      () => createLog({ to: directory.path, level: "info" }),
      (error) => isAshlarError(error, "INVALID_ARGUMENT"),
    );
  });
});
