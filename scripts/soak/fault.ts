import { randomInt } from "node:crypto";
import type { Journal } from "./journal.ts";
import type { FaultKind, SoakOptions } from "./options.ts";
import type { SoakCluster } from "./soak-cluster.ts";
import type { SoakNode } from "./soak-node.ts";

/** What faults work with. */
export interface Soak {
  readonly cluster: SoakCluster;
  readonly journal: Journal;
  readonly options: SoakOptions;
}

/** What a fault did, and how one knows that it did it. */
export interface FaultOutcome {
  readonly kind: FaultKind;
  /** The variant: "all masters", "leader from its peers". */
  readonly what: string;
  /** Whose. */
  readonly nodes: readonly string[];
  /** It was seen to have had its effect on the system below the product. */
  readonly fired: boolean;
  /** What was seen of it. */
  readonly evidence: string;
  /** Of an `io-error`. */
  readonly io?: {
    /** The error and the place, whatever the phase. */
    readonly place: string;
    /** A step of a first start is taken once: an attempt before may have finished it. */
    readonly isFirstStart: boolean;
  };
}

/** Breaks something, holds it for a while, and mends what the world would mend. */
export type Fault = (soak: Soak) => Promise<FaultOutcome>;

export function anyOf<Item>(items: readonly Item[]): Item {
  return items[randomInt(items.length)] as Item;
}

export function namesOf(nodes: readonly SoakNode[]): string[] {
  return nodes.map((node) => `${node.name}/${node.disk.kind}`);
}
