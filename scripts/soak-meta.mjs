// `npm run soak:meta -- --minutes N`: installs and builds what is missing, then breaks a cluster on purpose.
import { ensureReady } from "./bootstrap.mjs";

ensureReady();
const { main } = await import("../dist/scripts/soak-meta.js");
// Not by itself: a run that was interrupted may be waiting for something in the middle of a fault.
process.exit(await main(process.argv.slice(2)));
