// `npm run soak:meta -- --minutes N`: installs and builds what is missing, then breaks a cluster on purpose.
import { ensureReady } from "./bootstrap.mjs";

ensureReady();
const { main } = await import("../dist/scripts/soak-meta.js");
process.exitCode = await main(process.argv.slice(2));
