import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { describe, it } from "node:test";
import { ROOT_URL } from "../support/repository.ts";

const FOLDER = "master/api";

/**
 * Waits after which many calls resume in one turn of the event loop. A handler uses the functions of
 * `call-waits.ts`, which end with a turn of the call, and `CallContext.turn` between the parts of its work.
 */
const BARE_WAIT = /\.(?:confirmRead|waitApplied)\s*\(|\byieldTurn\b/;

/** Files with such a wait, and the reason. */
const ALLOWED: Readonly<Record<string, string>> = {
  "call-waits.ts": "implements the waits of the handlers",
  "feed-hub.ts": "one reader for all watchers, which has a bound of its own",
};

/** Returns the code of a source file without its comments. */
const withoutComments = (text: string): string =>
  text.replaceAll(/\/\*[\s\S]*?\*\//g, "").replaceAll(/(^|\s)\/\/.*$/gm, "");

describe("the waits of the handlers of a master", () => {
  it("are recognized", () => {
    for (const code of [
      "await consensus.confirmRead(context.remainingMs(), context);",
      "await deps.consensus.waitApplied(index, 5);",
      "await env.clock.yieldTurn();",
    ]) {
      assert.match(withoutComments(code), BARE_WAIT);
    }
    for (const code of ["await confirmRead(deps, context);", "// yieldTurn", "context.turn()"]) {
      assert.doesNotMatch(withoutComments(code), BARE_WAIT);
    }
  });

  it("end with a turn of the call", async () => {
    const found: string[] = [];
    for (const name of await readdir(new URL(FOLDER, ROOT_URL))) {
      const text = await readFile(new URL(`${FOLDER}/${name}`, ROOT_URL), "utf8");
      if (BARE_WAIT.test(withoutComments(text))) found.push(name);
    }
    assert.deepEqual(found.sort(), Object.keys(ALLOWED).sort());
  });
});
