// `npm run dev`: installs what is missing, then runs scripts/dev.ts until Ctrl-C.
import { ensureInstalled } from "./bootstrap.mjs";

ensureInstalled();
const { register } = await import("tsx/esm/api");
register();
const { main } = await import("./dev.ts");
process.exitCode = await main();
