// `npm run quickstart`: installs and builds what is missing, then runs dist/scripts/quickstart.js.
import { ensureReady } from "./bootstrap.mjs";

ensureReady();
const { main } = await import("../dist/scripts/quickstart.js");
process.exitCode = await main(process.argv.slice(2));
