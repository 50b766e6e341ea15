import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { lintPlanted } from "./lint-planted.ts";

/** Globals that files below the I/O boundary must not use. They use ports instead. */
const DENIED_BELOW = [
  ...["setTimeout", "setInterval", "setImmediate", "queueMicrotask"],
  ...["clearTimeout", "clearInterval", "clearImmediate", "performance", "Date", "Date.now()"],
  ...["Math.random()", 'Math["random"]()', "AbortSignal.timeout(1)", "crypto"],
  ...["fetch", "WebSocket", "XMLHttpRequest", "EventSource", "BroadcastChannel", "MessageChannel"],
  ...["Worker", "process", "navigator", "require", "module", "globalThis"],
];
/** Further globals that pure code must not use. */
const DENIED_PURE = [
  ...["Buffer", "Intl", "WeakRef", "FinalizationRegistry", "SharedArrayBuffer", "Atomics"],
];
const ALLOWED_ANYWHERE = [
  "Math.max(1, 2)",
  "AbortSignal.any([])",
  "structuredClone(1)",
  "Uint8Array",
];

const PURE = [
  ...["master/raft", "master/namespace", "master/placement"],
  ...["shared/base", "shared/ports", "shared/protocol", "shared/flow"],
];
const BELOW = [
  ...[
    "shared/wire",
    "shared/display",
    "master/api",
    "master/fleet",
    "master/storage",
    "master/driver",
    "master",
  ],
  ...["chunkserver/store", "chunkserver/pipeline", "chunkserver/upkeep", "chunkserver/api"],
  ...["chunkserver", "client"],
];
const ABOVE = [
  ...["shared/platform/planted.ts", "master/main.ts", "chunkserver/main.ts", "scripts/planted.ts"],
  ...["client/cli/planted.ts", "client/gateway/planted.ts", "client/mount/planted.ts"],
  ...["test/planted.ts"],
];

const EXPRESSIONS = [...DENIED_BELOW, ...DENIED_PURE, ...ALLOWED_ANYWHERE];
const PLANTED = EXPRESSIONS.map((text, index) => `export const value${index} = ${text};\n`).join(
  "",
);
const RULES = ["noRestrictedGlobals", "noJsRestrictedProperties"];

describe("the I/O boundary", async () => {
  const places = [...PURE, ...BELOW].map((folder) => `${folder}/planted.ts`);
  const findings = await lintPlanted(new Map([...places, ...ABOVE].map((file) => [file, PLANTED])));

  function refusedIn(file: string): string[] {
    const lines = findings.filter((it) => it.file === file && RULES.includes(it.rule));
    return EXPRESSIONS.filter((_, index) => lines.some(({ line }) => line === index + 1));
  }

  for (const folder of PURE) {
    it(`denies ${folder} clocks, randomness, the machine and threads`, () => {
      assert.deepEqual(refusedIn(`${folder}/planted.ts`), [...DENIED_BELOW, ...DENIED_PURE]);
    });
  }
  for (const folder of BELOW) {
    it(`denies ${folder} clocks, randomness and the machine`, () => {
      assert.deepEqual(refusedIn(`${folder}/planted.ts`), DENIED_BELOW);
    });
  }
  for (const file of ABOVE) {
    it(`allows ${file} every global`, () => assert.deepEqual(refusedIn(file), []));
  }
});
