import { existsSync } from "node:fs";
import { extname } from "node:path";
import { fileURLToPath } from "node:url";

/** The root directory of the repository, with "/" at its end. */
export const ROOT_URL: URL = repositoryRoot();
export const ROOT: string = fileURLToPath(ROOT_URL);

/** ".ts" under tsx; ".js" in the compiled copy of the sources that scripts/test.mjs runs. */
const MODULE_EXTENSION = extname(import.meta.url);

/** Flags of a Node process that imports a module from `moduleUrl`. */
export const MODULE_FLAGS: readonly string[] = MODULE_EXTENSION === ".ts" ? ["--import=tsx"] : [];

/**
 * Returns the URL of a module of the repository, in the same form as the modules of this process.
 *
 * @param path of the source file, for example "master/main.ts"
 */
export function moduleUrl(path: string): string {
  return new URL(`../../${path.replace(/\.ts$/, MODULE_EXTENSION)}`, import.meta.url).href;
}

/**
 * Returns the nearest parent directory with a package.json. A compiled copy has no package.json.
 */
function repositoryRoot(): URL {
  let directory = new URL("./", import.meta.url);
  while (!existsSync(new URL("package.json", directory))) directory = new URL("../", directory);
  return directory;
}
