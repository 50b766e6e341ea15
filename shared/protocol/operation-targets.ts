import { unreachable } from "../base/assert.ts";
import type { Operation, Target } from "./namespace-api.ts";

/** Returns all targets of an operation. */
export function targetsOf(operation: Operation): readonly Target[] {
  switch (operation.kind) {
    case "rename":
    case "copy":
    case "restore":
      return [operation.from, operation.to];
    case "stage-directory":
      return [operation.from];
    case "make-directory":
    case "create":
    case "unlink":
    case "remove-directory":
    case "remove-tree":
    case "set-attributes":
    case "put":
    case "commit-chunks":
    case "set-storage-class":
    case "stage":
    case "publish":
      return [operation.target];
    case "unstage":
      return [];
    default:
      return unreachable(operation);
  }
}
