#!/usr/bin/env node
// The launcher: runs the daemon or the CLI that is compiled in dist/. It is the command of the npm
// package and of a checkout. It loads nothing else, because every start pays for what it loads.

// The calls of a hung disk must not hold all threads (chunkserver/store/limited-disk.ts). The size is
// fixed at the first use of the pool, and Node reads an ES module with it: so this file is CommonJS.
process.env["UV_THREADPOOL_SIZE"] ??= "16";

const { existsSync, readFileSync } = require("node:fs");
const { join } = require("node:path");
const { pathToFileURL } = require("node:url");

const ENTRIES = {
  master: "../dist/master/main.js",
  chunkserver: "../dist/chunkserver/main.js",
  gateway: "../dist/client/gateway/main.js",
  "restore-cluster": "../dist/master/main.js",
};
/** Absent where the bundler has no binary for the platform of the build. */
const CLI_BUNDLE = join(__dirname, "../dist/client/cli/ashlar.cjs");

async function launch() {
  const here = pathToFileURL(__filename);
  const words = process.argv.slice(2);
  // `ashlar help gateway` is `ashlar gateway --help`. The CLI has a page of its own about `master`.
  const isHelp = words[0] === "help" && words.length === 2 && words[1] !== "master";
  if (isHelp && Object.hasOwn(ENTRIES, words[1])) words.splice(0, 2, words[1], "--help");
  const [first, ...rest] = words;
  // `ashlar master add …` is a command of the CLI: a daemon takes only flags.
  const isCommand = first === "master" && rest.length > 0 && !rest[0].startsWith("-");
  const isDaemon = Object.hasOwn(ENTRIES, first ?? "") && !isCommand;
  const entry = new URL(isDaemon ? ENTRIES[first] : "../dist/client/cli/main.js", here);
  if (first === "--version" && rest.length === 0) {
    const { version } = JSON.parse(readFileSync(new URL("../package.json", here), "utf8"));
    process.stdout.write(`ashlar ${version}\n`);
  } else if (!isDaemon && existsSync(CLI_BUNDLE)) {
    const { main } = require("./cli-bundle.cjs").loadBundle(CLI_BUNDLE);
    process.exitCode = await main(words);
  } else if (existsSync(entry)) {
    const { main } = await import(entry.href);
    process.exitCode = await main(isDaemon && first !== "restore-cluster" ? rest : words);
  } else {
    process.stderr.write("ashlar: dist/ is not built\n  hint: npm install && npm run build\n");
    process.exitCode = 2;
  }
}

launch();
