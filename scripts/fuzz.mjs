// `npm run fuzz -- --seconds N`: installs and builds what is missing, then runs dist/scripts/fuzz.js.
import { ensureReady } from "./bootstrap.mjs";

ensureReady();
const { main } = await import("../dist/scripts/fuzz.js");
process.exit(await main(process.argv.slice(2)));
