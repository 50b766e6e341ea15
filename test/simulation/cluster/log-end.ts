import type { MemoryDisk } from "../../support/memory-disk.ts";
import type { SimulatedMaster } from "./simulated-servers.ts";
import type { SimulationEnvironment } from "./simulation-environment.ts";
import type { SimulationRandom } from "./simulation-random.ts";
import { Violation } from "./violation.ts";

/** Time between two looks at a master that must not start. */
const LOOK_MS = 500;
/** Share of the faults in which the whole log is lost. */
const ALL_SHARE = 0.3;

/**
 * Returns the paths of the last log segments on a disk: a random number of them, or all. A segment whose
 * creation was interrupted is never the only one.
 */
export function pickLogEnd(disk: MemoryDisk, random: SimulationRandom): string[] {
  const paths = disk.filesBelow("log").filter((path) => path.endsWith(".log"));
  const newest = disk.contentOf("newest-segment.json");
  const recorded = newest === null ? null : recordedSequence(newest);
  const lastPosition =
    recorded === null
      ? paths.length - 1
      : paths.findIndex((path) => Number(path.slice("log/".length).split("-")[0]) === recorded);
  if (lastPosition < 0) return [];
  const isAll = random.chance(ALL_SHARE);
  return paths.slice(isAll ? 0 : random.integer(lastPosition + 1));
}

/** Reports a violation if a master starts before its disk is replaced. */
export function watchRefusal(environment: SimulationEnvironment, master: SimulatedMaster): void {
  const { disk } = master;
  const look = (): void => {
    if (master.disk !== disk) return;
    if (!master.isUp) {
      environment.clock.after(LOOK_MS, look);
      return;
    }
    const text = `${master.host} started although the end of its log is lost`;
    environment.reportViolation(new Violation(text, [master.host]));
  };
  look();
}

function recordedSequence(sealedJson: Uint8Array): number {
  const [line = ""] = new TextDecoder().decode(sealedJson).split("\n");
  return (JSON.parse(line) as { readonly sequence: number }).sequence;
}
