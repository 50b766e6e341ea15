import { randomInt } from "node:crypto";
import type { Journal } from "./journal.ts";
import type { FaultKind, SoakOptions } from "./options.ts";
import type { SoakCluster } from "./soak-cluster.ts";
import type { SoakNode } from "./soak-node.ts";

/** Context of a fault. */
export interface Soak {
  readonly cluster: SoakCluster;
  readonly journal: Journal;
  readonly options: SoakOptions;
}

/** Result of a fault, with the evidence that it had an effect. */
export interface FaultOutcome {
  readonly kind: FaultKind;
  /** The variant: "all masters", "leader from its peers". */
  readonly variant: string;
  /** Names of the affected nodes. */
  readonly nodes: readonly string[];
  /** Whether an effect was observed on the system below the product. */
  readonly fired: boolean;
  /** Description of the observed effect. */
  readonly evidence: string;
  /** Set for an `io-error`. */
  readonly io?: {
    /** The error and the call site, without the phase. */
    readonly callSite: string;
    /** Whether the site is a step of a first start, which an earlier attempt may have completed. */
    readonly isFirstStart: boolean;
  };
}

/** Injects a fault, holds it for a while, and repairs what an operator would repair. */
export type Fault = (soak: Soak) => Promise<FaultOutcome>;

/** Returns a random item. */
export function anyOf<Item>(items: readonly Item[]): Item {
  return items[randomInt(items.length)] as Item;
}

/** Returns the names of the nodes with their file systems: "m1/ext4". */
export function namesOf(nodes: readonly SoakNode[]): string[] {
  return nodes.map((node) => `${node.name}/${node.disk.kind}`);
}
