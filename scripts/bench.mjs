// `npm run bench -- [suite] [--json]`: installs and builds what is missing, then runs the
// benchmark.
import { ensureReady } from "./bootstrap.mjs";

ensureReady();
const { main } = await import("../dist/scripts/bench/bench.js");
process.exitCode = await main(process.argv.slice(2));
