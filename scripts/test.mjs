/**
 * Runs the tests: `npm test`, `npm test -- test/master raft-log --test-name-pattern=vote`.
 *
 * A parameter selects the test files whose path contains it. Without one, all run except the tests of
 * the built product (test/cluster and test/package); `--product` runs only these, `--all` all, and
 * `--parts` never these. Parameters that begin with `--test-` are passed to Node. Many test files run
 * in one process (one process per file takes six times as long). So a test must clean up after itself,
 * and a hook outside of `describe` applies to all files of the process.
 *
 * Many folders run from a compiled copy of the sources. A few folders run from the sources through
 * tsx: tsx adds a second to each process, and the compiler takes as long as that in total.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { compileCopy, ensureBuilt, ensureInstalled, ROOT } from "./bootstrap.mjs";

/**
 * Value of `--test-timeout`. Node 20 and 22 apply it to a process, Node 24 to a test. It ends tests
 * that hang: the longest process takes 110 s, and three times as long beside other programs.
 */
const TIMEOUT_MS = 400_000;
/** Maximum time for which a process may continue after its last test. */
const LEAK_GRACE_MS = 5000;
/**
 * Processes at the same time, for two cores. The processes of a cluster wait for disks and timers for
 * a third of their time.
 */
const CONCURRENCY = 3;
/** Module that each test process loads before the test runner. */
const PREPARATION = pathToFileURL(join(ROOT, "scripts", "test-process.mjs")).href;
const CLUSTER = "test/cluster";
/**
 * Files of `test/cluster` that share a process and, in it, one cluster
 * (`test/support/shared-cluster.ts`). They run in this order: `backup` restores its masters, which
 * raises the log index to 2^40, and `membership` adds a master and removes one. The other files
 * damage their cluster, or need more chunkservers.
 */
const SHARED_CLUSTER = {
  "test/cluster/masters": ["watch", "backup", "membership"],
  "test/cluster/processes": ["cli-process", "history", "refusals"],
  "test/cluster/data": ["completion", "gateway", "shapes"],
};
/**
 * Seconds that a test process takes, measured in a full run on two cores. The longest process starts
 * first, so that the cores finish at about the same time. A folder in this table has a process of its
 * own. The other folders share one process per role (test/client, test/master, …).
 */
const SECONDS = {
  "test/client/integration": 110,
  "test/cluster/masters": 80,
  "test/cluster/failures.test.ts": 60,
  "test/cluster/processes": 55,
  "test/client": 70,
  "test/simulation/cluster": 50,
  "test/cluster/data": 55,
  "test/chunkserver": 35,
  "test/master/driver": 35,
  "test/shared/platform": 34,
  "test/package": 30,
  "test/cluster/damage.test.ts": 25,
  "test/master/namespace": 25,
  "test/client/gateway": 20,
  "test/cluster/cli.test.ts": 20,
  "test/simulation/consensus": 20,
  "test/simulation/mutants": 20,
  "test/simulation/raft": 20,
};
/** Seconds of a process that is not in the table. */
const SECONDS_DEFAULT = 15;
/** More processes than this run from a compiled copy: tsx takes 0.5 CPU-seconds in each process. */
const TSX_PROCESSES_MAX = 4;
/** Folders whose tests run the built product in its own processes. */
const BUILT = [CLUSTER, "test/package"];

process.exit(main(process.argv.slice(2)));

function main(parameters) {
  const nodeFlags = parameters.filter((parameter) => parameter.startsWith("--test-"));
  const patterns = parameters.filter((parameter) => !parameter.startsWith("-"));
  const isSelected = selection(parameters, patterns.length > 0);
  const files = testFiles().filter(
    (file) =>
      isSelected(file) &&
      (patterns.length === 0 || patterns.some((pattern) => file.includes(pattern))),
  );
  if (files.length === 0) {
    console.error(`ashlar: no test file matches ${patterns.join(" ") || "test/**/*.test.ts"}`);
    return 1;
  }

  ensureInstalled();
  if (files.some(needsBuild)) ensureBuilt();
  const directory = mkdtempSync(join(ROOT, "dist.test-"));
  try {
    return runTests(directory, { files, nodeFlags });
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Returns whether a test file is in the part of the tests that the flags select. */
function selection(flags, hasPatterns) {
  if (flags.includes("--product")) return needsBuild;
  if (flags.includes("--parts")) return (file) => !needsBuild(file);
  if (flags.includes("--all") || hasPatterns) return () => true;
  console.log("Without the tests of the built product: npm run test:product runs them");
  return (file) => !needsBuild(file);
}

/** Runs test files. `directory` is for the compiled copy and for the entry files. */
function runTests(directory, { files, nodeFlags }) {
  const processes = filesByProcess(files);
  const isCompiled = processes.size > TSX_PROCESSES_MAX;
  if (isCompiled) {
    const status = compileCopy(directory);
    if (status !== 0) return status;
  }
  const urlOf = (file) =>
    pathToFileURL(isCompiled ? join(directory, file.replace(/\.ts$/, ".js")) : join(ROOT, file))
      .href;
  const entries = [...processes].map(([name, members]) => {
    const path = join(directory, entryName(name));
    writeFileSync(path, entrySource(members.map(urlOf)));
    return path;
  });
  const loader = isCompiled ? "--enable-source-maps" : "--import=tsx";
  return runEntries(entries, [`--import=${PREPARATION}`, loader, ...nodeFlags]);
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

/** Returns the test files of each process, by the name of the process. */
function filesByProcess(files) {
  const processes = new Map();
  for (const file of files) {
    const name = processOf(file);
    processes.set(name, [...(processes.get(name) ?? []), file]);
  }
  for (const [name, names] of Object.entries(SHARED_CLUSTER)) {
    const rank = (file) => names.findIndex((each) => file === `${CLUSTER}/${each}.test.ts`);
    processes.get(name)?.sort((left, right) => rank(left) - rank(right));
  }
  return processes;
}

function processOf(file) {
  if (file.startsWith(`${CLUSTER}/`)) return clusterProcessOf(file);
  const folder = dirname(file);
  return Object.hasOwn(SECONDS, folder) ? folder : folder.split("/").slice(0, 2).join("/");
}

/** Returns the process of a file of `test/cluster`: its own, or the one of its cluster. */
function clusterProcessOf(file) {
  const shared = Object.entries(SHARED_CLUSTER).find(([, names]) =>
    names.some((name) => file === `${CLUSTER}/${name}.test.ts`),
  );
  return shared === undefined ? file : shared[0];
}

/** Returns the name of an entry file. Node runs the files ordered by name: long ones first. */
function entryName(process) {
  const rank = 1000 - (SECONDS[process] ?? SECONDS_DEFAULT);
  return `${rank} ${process.replaceAll("/", " ")}.mjs`;
}

/**
 * Returns the source of an entry file. Its imports are static, so all tests are known before the
 * first one runs. A process that stays open after its last test fails: Node 24 would wait forever.
 */
function entrySource(urls) {
  const imports = urls.map((url) => `import ${JSON.stringify(url)};`);
  return `import { after } from "node:test";
import { stopTracking } from ${JSON.stringify(PREPARATION)};
${imports.join("\n")}
stopTracking();
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
    "--test",
    `--test-concurrency=${CONCURRENCY}`,
    `--test-timeout=${TIMEOUT_MS}`,
    "--test-reporter=spec",
    // All cores are busy: threads that collect garbage in parallel add 3 to 7 % CPU time.
    "--single-threaded-gc",
  ];
  const { status, error } = spawnSync(process.execPath, [...flags, ...nodeFlags, ...entries], {
    cwd: ROOT,
    stdio: "inherit",
  });
  if (error) throw error;
  return status ?? 1;
}
