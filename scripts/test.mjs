/**
 * Runs the tests: `npm test`, `npm test -- test/master raft-log --test-name-pattern=vote`.
 *
 * A parameter selects the test files whose path contains it; `--quick` leaves out test/cluster and
 * test/package, and with them the build; parameters that begin with `--test-` go to Node. All test
 * files of a folder run in one process (a process for each file takes six times as long), so a test
 * must clean up after itself, and a hook outside of `describe` counts for its whole folder.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { ensureBuilt, ensureInstalled, ROOT } from "./bootstrap.mjs";

/** For one process on Node 20 and 22, for one test on Node 24: so Node reads `--test-timeout`. */
const TIMEOUT_MS = 200_000;
/** How long a folder's process may live on after its last test. */
const LEAK_GRACE_MS = 5000;
/** Two: the simulations take a core for themselves, and clusters must not starve. */
const CONCURRENCY = 2;
const CLUSTER = "test/cluster";
/** Folders whose tests run the built product in processes of its own. `--quick` leaves them out. */
const BUILT = [CLUSTER, "test/package"];

process.exit(main(process.argv.slice(2)));

function main(parameters) {
  const forNode = parameters.filter((parameter) => parameter.startsWith("--test-"));
  const quick = parameters.includes("--quick");
  const wanted = parameters.filter((parameter) => !parameter.startsWith("-"));
  const files = testFiles().filter(
    (file) =>
      !(quick && needsBuild(file)) &&
      (wanted.length === 0 || wanted.some((part) => file.includes(part))),
  );
  if (files.length === 0) {
    console.error(`ashlar: no test file matches ${wanted.join(" ") || "test/**/*.test.ts"}`);
    return 1;
  }

  ensureInstalled();
  if (files.some(needsBuild)) ensureBuilt();
  const entries = mkdtempSync(join(ROOT, "node_modules", ".ashlar-test-"));
  try {
    return runEntries(writeEntries(entries, files), forNode);
  } finally {
    rmSync(entries, { recursive: true, force: true });
  }
}

function needsBuild(file) {
  return BUILT.some((folder) => file.startsWith(`${folder}/`));
}

/** Paths of all test files from the root, with "/" between names. */
function testFiles() {
  const names = readdirSync(join(ROOT, "test"), { recursive: true });
  return names
    .filter((name) => name.endsWith(".test.ts"))
    .map((name) => `test/${name.replaceAll("\\", "/")}`)
    .sort();
}

/** One file for each process, that loads its tests; Node runs them in the order of their names. */
function writeEntries(directory, files) {
  const filesByProcess = new Map();
  for (const file of files) {
    // Clusters last for a minute each: a process of its own lets two run at a time.
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

/** The long ones first, so that both cores end together; the clusters last, when it is quiet. */
function rank(folder) {
  if (folder.startsWith("test/simulation")) return 1;
  return folder.startsWith(CLUSTER) ? 3 : 2;
}

/**
 * Static imports: all tests are known before the first one runs. A folder whose process lives on
 * after its last test fails: Node 24 would wait for ever.
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

function runEntries(entries, forNode) {
  const flags = [
    "--import=tsx",
    "--test",
    `--test-concurrency=${CONCURRENCY}`,
    `--test-timeout=${TIMEOUT_MS}`,
    "--test-reporter=spec",
  ];
  const { status, error } = spawnSync(process.execPath, [...flags, ...forNode, ...entries], {
    cwd: ROOT,
    stdio: "inherit",
  });
  if (error) throw error;
  return status ?? 1;
}
