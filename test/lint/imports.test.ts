import assert from "node:assert/strict";
import { dirname, relative } from "node:path/posix";
import { describe, it } from "node:test";
import { lintPlanted } from "./lint-planted.ts";

const GROUND = ["shared/base", "shared/ports", "shared/protocol", "shared/flow"];
const SHARED = [...GROUND, "shared/wire"];
const CORES = ["master/raft", "master/namespace", "master/placement"];
const CORE_SEAMS = ["master/consensus.ts", "master/state-machine.ts"];
const SEAMS = [...CORE_SEAMS, "master/fleet-view.ts", "master/lost-entries.ts"];
const MASTER_SERVICES = ["master/api", "master/fleet", "master/storage", "master/driver"];
const MASTER_FILES = [...SEAMS, "master/config.ts"];
const LIBRARY_VALUES = ["client/options.ts", "client/results.ts", "client/deadline.ts"];
const LIBRARY_STEPS = ["masters", "chunkservers", "names", "write", "read"].map(
  (step) => `client/${step}`,
);
const LIBRARY_SURFACE = ["client/connect.ts", "client/file-system.ts", "client/index.ts"];
const LIBRARY = [...LIBRARY_SURFACE, ...LIBRARY_VALUES, ...LIBRARY_STEPS];
const LIBRARY_USERS = ["client/cli", "client/gateway", "client/mount", "client/console"];

const PURE_PACKAGES = ["valibot", "msgpackr", "sorted-btree"];
const NEAR_PACKAGES = [...PURE_PACKAGES, "p-limit"];
const HTTP_PACKAGES = [...NEAR_PACKAGES, "koa", "@koa/router", "busboy"];
const LIBRARY_PACKAGES = [...NEAR_PACKAGES, "node:stream"];
const ALL_PACKAGES = [
  ...HTTP_PACKAGES,
  "pretty-bytes",
  ...["lmdb", "@napi-rs/blake-hash", "blake3-wasm", "pino", "prom-client"],
  ...["node:fs", "node:fs/promises", "node:net", "node:timers", "node:crypto", "node:process"],
  ...["node:child_process", "node:worker_threads", "node:os", "node:http", "node:stream"],
];

/** The modules that a folder or file may import. All others are refused. */
const MAY_IMPORT: Record<string, readonly string[]> = {
  "shared/base": ["shared/base"],
  "shared/ports": ["shared/ports", "shared/base"],
  "shared/protocol": ["shared/protocol", "shared/ports", "shared/base", ...PURE_PACKAGES],
  "shared/flow": ["shared/flow", "shared/ports", "shared/base", ...PURE_PACKAGES],
  "shared/wire": [...SHARED, ...NEAR_PACKAGES],
  "shared/display": [
    ...["shared/display", "shared/protocol", "shared/ports", "shared/base"],
    "pretty-bytes",
  ],
  "shared/platform": [...SHARED, "shared/display", "shared/platform", ...ALL_PACKAGES],

  "master/raft": ["master/raft", ...CORE_SEAMS, ...GROUND, ...PURE_PACKAGES],
  "master/namespace": ["master/namespace", ...CORE_SEAMS, ...GROUND, ...PURE_PACKAGES],
  "master/placement": ["master/placement", ...CORE_SEAMS, ...GROUND, ...PURE_PACKAGES],
  "master/consensus.ts": GROUND,
  "master/state-machine.ts": GROUND,
  "master/fleet-view.ts": [...CORES, ...MASTER_FILES, ...SHARED, ...NEAR_PACKAGES],
  "master/lost-entries.ts": [...CORES, ...MASTER_FILES, ...SHARED, ...NEAR_PACKAGES],
  "master/config.ts": [...CORES, ...MASTER_FILES, ...SHARED, ...NEAR_PACKAGES],
  "master/fleet": ["master/fleet", ...CORES, ...SEAMS, ...SHARED, ...NEAR_PACKAGES],
  "master/storage": ["master/storage", ...CORES, ...SEAMS, ...SHARED, ...NEAR_PACKAGES],
  "master/driver": ["master/driver", ...CORES, ...SEAMS, ...SHARED, ...NEAR_PACKAGES],
  "master/api": ["master/api", ...CORES, ...SEAMS, ...SHARED, ...HTTP_PACKAGES],
  "master/server.ts": [
    ...[...CORES, ...MASTER_SERVICES, ...MASTER_FILES],
    ...[...SHARED, "shared/display", "shared/platform", ...HTTP_PACKAGES],
  ],
  "master/main.ts": [
    ...[...CORES, ...MASTER_SERVICES, ...MASTER_FILES, "master/server.ts"],
    ...[...SHARED, "shared/display", "shared/platform", ...ALL_PACKAGES],
  ],

  "chunkserver/store": ["chunkserver/store", ...SHARED, ...NEAR_PACKAGES],
  "chunkserver/pipeline": [
    ...["chunkserver/pipeline", "chunkserver/store"],
    ...[...SHARED, ...NEAR_PACKAGES],
  ],
  "chunkserver/upkeep": [
    ...["chunkserver/upkeep", "chunkserver/pipeline", "chunkserver/store"],
    ...[...SHARED, ...NEAR_PACKAGES],
  ],
  "chunkserver/api": [
    ...["chunkserver/api", "chunkserver/pipeline", "chunkserver/store"],
    ...[...SHARED, ...HTTP_PACKAGES],
  ],
  "chunkserver/config.ts": [
    ...["chunkserver/pipeline", "chunkserver/store"],
    ...[...SHARED, ...NEAR_PACKAGES],
  ],
  "chunkserver/server.ts": [
    ...["chunkserver/api", "chunkserver/upkeep", "chunkserver/pipeline", "chunkserver/store"],
    ...["chunkserver/config.ts", ...SHARED, "shared/display", "shared/platform", ...HTTP_PACKAGES],
  ],
  "chunkserver/main.ts": [
    ...["chunkserver/api", "chunkserver/upkeep", "chunkserver/pipeline", "chunkserver/store"],
    ...["chunkserver/config.ts", "chunkserver/server.ts"],
    ...[...SHARED, "shared/display", "shared/platform", ...ALL_PACKAGES],
  ],

  "client/masters": ["client/masters", ...LIBRARY_VALUES, ...SHARED, ...LIBRARY_PACKAGES],
  "client/chunkservers": ["client/chunkservers", ...LIBRARY_VALUES, ...SHARED, ...LIBRARY_PACKAGES],
  "client/names": [
    ...["client/names", "client/masters"],
    ...[...LIBRARY_VALUES, ...SHARED, ...LIBRARY_PACKAGES],
  ],
  "client/write": [
    ...["client/write", "client/masters", "client/chunkservers"],
    ...[...LIBRARY_VALUES, ...SHARED, ...LIBRARY_PACKAGES],
  ],
  "client/read": [
    ...["client/read", "client/masters", "client/chunkservers", "client/names"],
    ...[...LIBRARY_VALUES, ...SHARED, ...LIBRARY_PACKAGES],
  ],
  "client/options.ts": [...LIBRARY, ...SHARED, ...LIBRARY_PACKAGES],
  "client/results.ts": [...LIBRARY, ...SHARED, ...LIBRARY_PACKAGES],
  "client/deadline.ts": [...LIBRARY, ...SHARED, ...LIBRARY_PACKAGES],
  "client/file-system.ts": [...LIBRARY, ...SHARED, ...LIBRARY_PACKAGES],
  "client/index.ts": [
    ...LIBRARY,
    ...SHARED,
    "shared/display",
    "shared/platform",
    ...LIBRARY_PACKAGES,
  ],
  "client/connect.ts": [
    ...LIBRARY,
    ...SHARED,
    "shared/display",
    "shared/platform",
    ...LIBRARY_PACKAGES,
  ],
};
for (const user of LIBRARY_USERS) {
  MAY_IMPORT[user] = [
    ...[...LIBRARY, user, ...SHARED, "shared/display", "shared/platform"],
    ...ALL_PACKAGES,
  ];
}

const PLACES = [...Object.keys(MAY_IMPORT), "scripts", "test"];

for (const parent of ["shared", "master", "chunkserver", "client"]) {
  MAY_IMPORT[`${parent}/new-folder`] = [];
}

/** One file per place with one import per line: every other place, then every package. */
function plantImports(): { sources: Map<string, string>; targets: Map<string, string[]> } {
  const sources = new Map<string, string>();
  const targets = new Map<string, string[]>();
  for (const place of Object.keys(MAY_IMPORT)) {
    const file = fileIn(place);
    const wanted = [...PLACES.filter((other) => other !== place), ...ALL_PACKAGES];
    const specifiers = wanted.map((target) => specifierFrom(file, target));
    sources.set(file, specifiers.map((specifier) => `import "${specifier}";\n`).join(""));
    targets.set(file, wanted);
  }
  return { sources, targets };
}

function fileIn(place: string): string {
  return place.endsWith(".ts") ? place : `${place}/planted.ts`;
}

function specifierFrom(file: string, target: string): string {
  if (!PLACES.includes(target)) return target;
  const path = relative(dirname(file), fileIn(target));
  return path.startsWith(".") ? path : `./${path}`;
}

describe("the import rules", async () => {
  const { sources, targets } = plantImports();
  const findings = await lintPlanted(sources);
  for (const [place, allowed] of Object.entries(MAY_IMPORT)) {
    it(`allow ${place} exactly the imports of its list`, () => {
      const file = fileIn(place);
      const wanted = targets.get(file) ?? [];
      const refused = findings
        .filter((finding) => finding.file === file && finding.rule === "noRestrictedImports")
        .map((finding) => wanted[finding.line - 1]);
      assert.deepEqual(
        refused,
        wanted.filter((target) => !allowed.includes(target)),
      );
    });
  }

  it("apply to every form of an import, and to a path that leaves the folder after entering it", async () => {
    const lines = [
      'import "../../client/index.ts";',
      'import type { FileSystem } from "../../client/file-system.ts";',
      'export { connect } from "../../client/connect.ts";',
      'export const later = import("../../client/connect.ts");',
      'import "./deeper/../../server.ts";',
      'import "./../server.ts";',
    ];
    const file = "master/raft/planted.ts";
    const forms = await lintPlanted(new Map([[file, `${lines.join("\n")}\n`]]));
    const refused = forms.filter(({ rule }) => rule === "noRestrictedImports");
    assert.deepEqual(
      refused.map(({ line }) => line),
      [1, 2, 3, 4, 5, 6],
    );
  });
});
