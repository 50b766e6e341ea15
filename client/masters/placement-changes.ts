import type { Operation } from "../../shared/protocol/namespace-api.ts";

/** Operations after which a path may lead to a directory of another storage class. */
const KINDS: ReadonlySet<Operation["kind"]> = new Set([
  "set-storage-class",
  "rename",
  "remove-directory",
  "remove-tree",
  "restore",
] as const);

/** Whether the operations can change the storage class of the directory at a path. */
export function mayChangePlacement(operations: readonly Operation[]): boolean {
  return operations.some(({ kind }) => KINDS.has(kind));
}
