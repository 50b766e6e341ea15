// `npm run test:mixed`: installs and builds what is missing, then runs processes of version 0.1.0 next to today's.
import { ensureReady } from "./bootstrap.mjs";

ensureReady();
const { main } = await import("../dist/scripts/mixed/mixed.js");
process.exitCode = await main();
