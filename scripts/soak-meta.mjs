// `npm run soak:meta -- --minutes N`: installs and builds what is missing, then runs the soak test.
import { ensureReady } from "./bootstrap.mjs";

ensureReady();
const { main } = await import("../dist/scripts/soak-meta.js");
// Exits explicitly: an interrupted run may wait for an event in the middle of a fault.
process.exit(await main(process.argv.slice(2)));
