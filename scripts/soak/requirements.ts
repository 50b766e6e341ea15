import { access, constants, readdir } from "node:fs/promises";
import { delimiter, join } from "node:path";
import type { FaultKind } from "./options.ts";

/** A program, its Debian package, and the faults that need it. Null if every run needs it. */
const TOOLS: readonly {
  readonly program: string;
  readonly package: string;
  readonly faults: readonly FaultKind[] | null;
}[] = [
  { program: "unshare", package: "util-linux", faults: null },
  { program: "nsenter", package: "util-linux", faults: null },
  { program: "mount", package: "mount", faults: null },
  { program: "ip", package: "iproute2", faults: null },
  { program: "mkfs.ext4", package: "e2fsprogs", faults: null },
  { program: "mkfs.xfs", package: "xfsprogs", faults: null },
  { program: "xfs_io", package: "xfsprogs", faults: ["power-cut", "dead-disk"] },
  { program: "nft", package: "nftables", faults: ["partition"] },
  { program: "tc", package: "iproute2", faults: ["slow-link"] },
  { program: "strace", package: "strace", faults: ["io-error"] },
  { program: "faketime", package: "faketime", faults: ["clock-jump"] },
];

/** Returns the missing requirements of `faults` on this machine, one line each. */
export async function missingRequirements(faults: readonly FaultKind[]): Promise<string[]> {
  const missing: string[] = [];
  if (process.platform !== "linux") missing.push("Linux: namespaces, loop devices and strace");
  if (process.getuid?.() !== 0) missing.push("root: for mounts and network namespaces");
  const packages = new Set<string>();
  for (const tool of TOOLS) {
    if (tool.faults !== null && !tool.faults.some((kind) => faults.includes(kind))) continue;
    if (await isInstalled(tool.program)) continue;
    missing.push(`${tool.program} (package ${tool.package})`);
    packages.add(tool.package);
  }
  if (packages.size > 0) missing.push(`install with: apt-get install ${[...packages].join(" ")}`);
  return missing;
}

async function isInstalled(program: string): Promise<boolean> {
  const directories = (process.env["PATH"] ?? "").split(delimiter);
  for (const directory of [...directories, "/usr/sbin", "/sbin"]) {
    try {
      await access(join(directory, program), constants.X_OK);
      return true;
    } catch {
      // Try the next directory.
    }
  }
  return false;
}

/**
 * Returns the path of libfaketime for multithreaded processes.
 *
 * @throws {Error} if it is not found
 */
export async function faketimeLibrary(): Promise<string> {
  for (const directory of await readdir("/usr/lib")) {
    const path = join("/usr/lib", directory, "faketime", "libfaketimeMT.so.1");
    try {
      await access(path);
      return path;
    } catch {
      // This folder belongs to another architecture, or to none.
    }
  }
  throw new Error("Cannot find libfaketimeMT.so.1 below /usr/lib: apt-get install libfaketime");
}
