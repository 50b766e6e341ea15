import { hostname } from "node:os";

/**
 * Returns the name of this machine, as gethostname(2) returns it.
 *
 * A chunkserver registers this name by default, and a client compares its own name with it to find
 * the chunkservers on its machine. Both must therefore use this function.
 */
export function hostName(): string {
  return hostname();
}
