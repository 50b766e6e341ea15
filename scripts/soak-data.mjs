// `npm run soak:data -- --minutes N`: installs and builds what is missing, then runs the soak test of the data path.
import { ensureReady } from "./bootstrap.mjs";

ensureReady();
const { main } = await import("../dist/scripts/soak-data.js");
// Exits explicitly: an interrupted run may wait for an event in the middle of a fault.
process.exit(await main(process.argv.slice(2)));
