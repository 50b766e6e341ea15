import { readFileSync } from "node:fs";

/** The version in package.json, in the parent of client/ or of dist/. */
export const VERSION: string = readVersion();

function readVersion(): string {
  for (const up of ["../../package.json", "../../../package.json"]) {
    try {
      const { name, version } = JSON.parse(readFileSync(new URL(up, import.meta.url), "utf8"));
      if (name === "ashlar") return String(version);
    } catch {
      // Try the other path.
    }
  }
  return "unknown";
}
