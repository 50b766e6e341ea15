/**
 * Runs the tests: `npm test`, `npm test -- test/master raft-log --test-name-pattern=vote`.
 *
 * A parameter selects the test files whose path contains it. `--quick` excludes test/cluster and
 * test/package, which need the build. Parameters that begin with `--test-` are passed to Node. All
 * test files of a folder run in one process (one process per file takes six times as long). So a test
 * must clean up after itself, and a hook outside of `describe` applies to its whole folder.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { ensureBuilt, ensureInstalled, ROOT } from "./bootstrap.mjs";

/** Value of `--test-timeout`. Node 20 and 22 apply it to a process, Node 24 to a test. */
const TIMEOUT_MS = 200_000;
/** Maximum time for which the process of a folder may continue after its last test. */
const LEAK_GRACE_MS = 5000;
/** Two: the simulations use one core, and the clusters need the other one. */
const CONCURRENCY = 2;
const CLUSTER = "test/cluster";
/** Folders whose tests run the built product in its own processes. `--quick` excludes them. */
const BUILT = [CLUSTER, "test/package"];

process.exit(main(process.argv.slice(2)));

function main(parameters) {
  const nodeFlags = parameters.filter((parameter) => parameter.startsWith("--test-"));
  const isQuick = parameters.includes("--quick");
  const patterns = parameters.filter((parameter) => !parameter.startsWith("-"));
  const files = testFiles().filter(
    (file) =>
      !(isQuick && needsBuild(file)) &&
      (patterns.length === 0 || patterns.some((pattern) => file.includes(pattern))),
  );
  if (files.length === 0) {
    console.error(`ashlar: no test file matches ${patterns.join(" ") || "test/**/*.test.ts"}`);
    return 1;
  }

  ensureInstalled();
  if (files.some(needsBuild)) ensureBuilt();
  const entries = mkdtempSync(join(ROOT, "node_modules", ".ashlar-test-"));
  try {
    return runEntries(writeEntries(entries, files), nodeFlags);
  } finally {
    rmSync(entries, { recursive: true, force: true });
  }
}

function needsBuild(file) {
  return BUILT.some((folder) => file.startsWith(`${folder}/`));
}

/** Returns the paths of all test files, relative to the root, with "/" between names. */
function testFiles() {
  const names = readdirSync(join(ROOT, "test"), { recursive: true });
  return names
    .filter((name) => name.endsWith(".test.ts"))
    .map((name) => `test/${name.replaceAll("\\", "/")}`)
    .sort();
}

/** Writes one entry file per process. It imports the tests. Node runs the files ordered by name. */
function writeEntries(directory, files) {
  const filesByProcess = new Map();
  for (const file of files) {
    // A cluster test takes about a minute. In its own process two of them run at the same time.
    const process = file.startsWith(`${CLUSTER}/`) ? file : dirname(file);
    filesByProcess.set(process, [...(filesByProcess.get(process) ?? []), file]);
  }
  return [...filesByProcess].map(([process, members]) => {
    const name = `${rank(process)} ${process.replaceAll("/", " ")}.mjs`;
    const entry = join(directory, name);
    writeFileSync(entry, entrySource(members));
    return entry;
  });
}

/** Orders the folders: long ones first, so that both cores end together; clusters last. */
function rank(folder) {
  if (folder.startsWith("test/simulation")) return 1;
  return folder.startsWith(CLUSTER) ? 3 : 2;
}

/**
 * Returns the source of an entry file. Its imports are static, so all tests are known before the
 * first one runs. A process that stays open after its last test fails: Node 24 would wait forever.
 */
function entrySource(files) {
  const imports = files.map(
    (file) => `import ${JSON.stringify(pathToFileURL(join(ROOT, file)).href)};`,
  );
  return `import { after } from "node:test";
${imports.join("\n")}
after(() => {
  setTimeout(() => {
    console.error("Still open after the last test:", process.getActiveResourcesInfo().join(", "));
    process.exit(1);
  }, ${LEAK_GRACE_MS}).unref();
});
`;
}

function runEntries(entries, nodeFlags) {
  const flags = [
    "--import=tsx",
    "--test",
    `--test-concurrency=${CONCURRENCY}`,
    `--test-timeout=${TIMEOUT_MS}`,
    "--test-reporter=spec",
  ];
  const { status, error } = spawnSync(process.execPath, [...flags, ...nodeFlags, ...entries], {
    cwd: ROOT,
    stdio: "inherit",
  });
  if (error) throw error;
  return status ?? 1;
}
