import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { describe, it } from "node:test";
import { isAshlarError } from "../../../shared/base/errors.ts";
import { lockDataDirectory } from "../../../shared/platform/data-directory-lock.ts";
import { readBootId, readProcessStat } from "../../../shared/platform/procfs.ts";
import { MODULE_FLAGS, moduleUrl } from "../../support/repository.ts";
import { TempDirectory } from "../../support/temp-directory.ts";

const inUseBy = (holder: string) => (error: unknown) =>
  isAshlarError(error, "ALREADY_EXISTS") && error.message.includes(`locked by ${holder}`);

/** Runs a program with its own process ids, as a container does. Kills it when it is killed. */
const CONTAINER = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"];

interface Contender {
  readonly child: ChildProcess;
  readonly holds: boolean;
}

/** A process that requests the lock of `path`, and keeps it until it is killed. */
async function contend(path: string, runner: readonly string[] = []): Promise<Contender> {
  const module = moduleUrl("shared/platform/data-directory-lock.ts");
  const script = `
    const { lockDataDirectory } = await import(${JSON.stringify(module)});
    const tried = lockDataDirectory(${JSON.stringify(path)});
    process.stdout.write(await tried.then(() => "holds", () => "refused"));
    setInterval(() => {}, 1000);
  `;
  const node = [process.execPath, ...MODULE_FLAGS, "--input-type=module", "-e", script];
  const [program = "", ...args] = [...runner, ...node];
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "inherit"] });
  const [answer] = await once(child.stdout as NodeJS.ReadableStream, "data");
  return { child, holds: String(answer) === "holds" };
}

async function kill(child: ChildProcess): Promise<void> {
  const exited = once(child, "exit");
  child.kill("SIGKILL");
  await exited;
}

/** Acquires the lock as soon as it is free: the kernel frees it a moment after the exit. */
async function lockSoon(path: string): Promise<AsyncDisposable> {
  for (;;) {
    try {
      return await lockDataDirectory(path);
    } catch (error) {
      if (!isAshlarError(error, "ALREADY_EXISTS")) throw error;
    }
  }
}

describe("data directory lock", () => {
  it("is held by one caller at a time, and free after its release", async () => {
    await using directory = await TempDirectory.make();
    const path = `${directory.path}/made`;
    const lock = await lockDataDirectory(path);
    await assert.rejects(lockDataDirectory(path), inUseBy(`process ${process.pid} on `));
    await lock.release();
    assert.deepEqual(await readdir(path), []);
    await using again = await lockDataDirectory(path);
    await lock.release();
    await assert.rejects(lockDataDirectory(path), inUseBy(`process ${process.pid} on `));
    assert.ok(again);
  });

  it("is refused across process namespaces, and is free after kill -9 of the holder", async (t) => {
    const canUnshare = spawnSync(CONTAINER[0] ?? "", [...CONTAINER.slice(1), "true"]).status === 0;
    if (!canUnshare) t.diagnostic("no right to unshare: the holder has this process namespace");
    await using directory = await TempDirectory.make();
    const { child, holds } = await contend(directory.path, canUnshare ? CONTAINER : []);
    try {
      assert.ok(holds);
      await assert.rejects(lockDataDirectory(directory.path), inUseBy("process"));
    } finally {
      await kill(child);
    }
    await using lock = await lockSoon(directory.path);
    assert.ok(lock);
  });

  it("is neither broken nor blocked by a file that anyone removes or leaves", async () => {
    await using directory = await TempDirectory.make();
    const file = `${directory.path}/ashlar.lock`;
    for (const content of ["", "not a holder", '{"pid":1,"startTicks":"1","bootId":"b"}']) {
      await writeFile(file, content);
      const lock = await lockDataDirectory(directory.path);
      await rm(file);
      await assert.rejects(lockDataDirectory(directory.path), inUseBy("another process"));
      await lock.release();
    }
  });

  it("is acquired and released if a directory is in the place of the text for people", async () => {
    await using directory = await TempDirectory.make();
    await mkdir(`${directory.path}/ashlar.lock`);
    for (let round = 0; round < 2; round += 1) {
      const lock = await lockDataDirectory(directory.path);
      await lock.release();
    }
  });

  it("is refused while a process of version 0.1.0 runs, whose lock is a file, and states itself to it", async () => {
    await using directory = await TempDirectory.make();
    const file = `${directory.path}/ashlar.lock`;
    const child = spawn("sleep", ["60"]);
    const startTicks = readProcessStat(child.pid as number)?.startTicks;
    const holder = { pid: child.pid, startTicks, bootId: readBootId() };
    await writeFile(file, JSON.stringify(holder));
    await assert.rejects(lockDataDirectory(directory.path), inUseBy(`process ${child.pid} of`));
    assert.deepEqual(JSON.parse(await readFile(file, "utf8")), holder);
    await kill(child);
    await using _lock = await lockDataDirectory(directory.path);
    const own = JSON.parse(await readFile(file, "utf8"));
    assert.equal(own.pid, process.pid);
    assert.equal(own.bootId, readBootId());
    assert.equal(own.startTicks, readProcessStat(process.pid)?.startTicks);
  });

  it("is acquired by exactly one of many concurrent processes", async () => {
    await using directory = await TempDirectory.make();
    const contenders = await Promise.all([1, 2, 3].map(() => contend(directory.path)));
    for (const { child } of contenders) await kill(child);
    assert.equal(contenders.filter(({ holds }) => holds).length, 1);
  });

  it("says what is missing if flock(1) is not installed", async () => {
    await using directory = await TempDirectory.make();
    const path = process.env["PATH"];
    process.env["PATH"] = directory.path;
    try {
      await assert.rejects(lockDataDirectory(directory.path), { code: "UNSUPPORTED" });
    } finally {
      process.env["PATH"] = path;
    }
  });
});
