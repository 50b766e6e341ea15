import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { describe, it } from "node:test";
import { ROOT_URL } from "../support/repository.ts";

const FOLDERS = ["master", "chunkserver", "client", "shared"];

/**
 * Timers of the platform. Their longest delay is 2^31 - 1 ms, about 25 days, and a longer one fires
 * at once. Only `SystemClock` handles that, so all other code uses a `Clock`.
 */
const TIMER = /\bset(?:Timeout|Interval)\b|\bAbortSignal\.timeout\b|["'](?:node:)?timers/;

/** Files with a timer of the platform, and the reason. */
const ALLOWED: Readonly<Record<string, string>> = {
  "shared/platform/system-clock.ts": "implements the clock",
  "shared/platform/heap-growth.ts": "a fixed interval of 1 s that keeps no process alive",
  "client/gateway/drain-refused.ts": "a fixed delay of 2 s",
  "client/gateway/request-scope.ts": "the timeout of a socket; the config limits it to 24 days",
  "client/cli/masters-watch.ts": "a fixed interval",
  "client/cli/wait-line.ts": "a fixed interval",
  "client/cli/local/directory-lock.ts": "a fixed delay between two polls",
  "client/cli/cluster/local-cluster.ts": "a fixed delay between two polls",
  "client/cli/cluster/wait-until.ts": "a fixed delay between two polls",
  "client/cli/commands/status.ts": "a fixed delay between two polls",
  "client/cli/local/writable-file.ts": "a fixed delay between two polls",
  "client/cli/cluster/node-process.ts": "a fixed delay between two polls",
  "client/cli/commands/cluster-logs.ts": "a fixed delay between two polls",
};

/** Returns the code of a source file without its comments. */
const withoutComments = (text: string): string =>
  text.replaceAll(/\/\*[\s\S]*?\*\//g, "").replaceAll(/(^|\s)\/\/.*$/gm, "");

describe("timers", () => {
  it("recognizes every timer of the platform", () => {
    for (const code of [
      "setTimeout(task, 5)",
      "socket.setTimeout(5)",
      "setInterval(task, 5)",
      "AbortSignal.timeout(5)",
      'import { setTimeout as sleep } from "node:timers/promises";',
      'import timers from "timers";',
    ]) {
      assert.match(withoutComments(code), TIMER);
    }
    assert.doesNotMatch(withoutComments("// setTimeout\n/** setInterval */\nclock.after()"), TIMER);
  });

  it("are used by the clock only", async () => {
    const found: string[] = [];
    for (const folder of FOLDERS) {
      for (const name of await readdir(new URL(folder, ROOT_URL), { recursive: true })) {
        if (!name.endsWith(".ts")) continue;
        const text = await readFile(new URL(`${folder}/${name}`, ROOT_URL), "utf8");
        if (TIMER.test(withoutComments(text))) found.push(`${folder}/${name}`);
      }
    }
    assert.deepEqual(found.sort(), Object.keys(ALLOWED).sort());
  });
});
