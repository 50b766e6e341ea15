import { pathErrorMessage } from "../../shared/base/path-errors.ts";
import { PATH_FAULTS } from "../../shared/base/path-faults.ts";
import { reason } from "./refusal-reason.ts";
import { ROOT_INODE } from "./state.ts";

/** A path as `showPath` returns it. */
type OfPath = { readonly path: string };

/** The reasons of refusals about paths and preconditions: see refusal-words.ts. */
export const TREE_REASONS = {
  ...PATH_FAULTS,
  depth: reason(
    "NAME_TOO_LONG",
    ({ depth, max }: { readonly depth: number; readonly max: number }) =>
      `Cannot make a name at depth ${depth}: expected at most ${max} names from the root`,
  ),
  /** A query reads more rows than one may: see read-budget.ts. */
  "read-rows": reason(
    "TOO_LARGE",
    ({ max }: { readonly max: number }) =>
      `Cannot read the target: expected at most ${max} rows on the way to it`,
  ),
  "target-empty": reason(
    "INVALID_ARGUMENT",
    () => "Cannot use a target: expected an inode or a path: both are absent",
  ),
  "inode-unknown": reason("NOT_FOUND", ({ inode }: { readonly inode: number }) =>
    pathErrorMessage("NOT_FOUND", inode === ROOT_INODE ? "/" : `inode ${inode}`),
  ),
  "name-unknown": reason("NOT_FOUND", ({ path }: OfPath) => pathErrorMessage("NOT_FOUND", path)),
  /** A name on the way to the target is that of a file. */
  "parent-not-directory": reason("NOT_A_DIRECTORY", ({ path }: OfPath) =>
    pathErrorMessage("NOT_A_DIRECTORY", path),
  ),
  "not-directory": reason("NOT_A_DIRECTORY", ({ path }: OfPath) =>
    pathErrorMessage("NOT_A_DIRECTORY", path),
  ),
  "not-file": reason("IS_A_DIRECTORY", ({ path }: OfPath) =>
    pathErrorMessage("IS_A_DIRECTORY", path),
  ),
  "not-empty": reason("NOT_EMPTY", ({ path }: OfPath & { readonly entryCount: number }) =>
    pathErrorMessage("NOT_EMPTY", path),
  ),
  "name-taken": reason(
    "ALREADY_EXISTS",
    ({ path }: OfPath & { readonly kind: "directory" | "file" }) =>
      pathErrorMessage("ALREADY_EXISTS", path),
  ),
  "root-fixed": reason(
    "INVALID_ARGUMENT",
    ({ action }: { readonly action: "remove" | "rename" }) =>
      `Cannot ${action} "/": expected a path below the root directory`,
  ),
  "rename-inside": reason(
    "INVALID_ARGUMENT",
    ({ from, to }: { readonly from: string; readonly to: string }) =>
      `Cannot rename ${from}: expected a target outside the directory: current value is ${to}`,
  ),
  "rename-onto-file": reason(
    "NOT_A_DIRECTORY",
    ({ to }: { readonly from: string; readonly to: string }) =>
      pathErrorMessage("NOT_A_DIRECTORY", to),
  ),
  "rename-onto-directory": reason(
    "IS_A_DIRECTORY",
    ({ to }: { readonly from: string; readonly to: string }) =>
      pathErrorMessage("IS_A_DIRECTORY", to),
  ),
  "rename-not-empty": reason(
    "NOT_EMPTY",
    ({ to }: { readonly from: string; readonly to: string; readonly entryCount: number }) =>
      pathErrorMessage("NOT_EMPTY", to),
  ),
  "precondition-failed": reason(
    "PRECONDITION_FAILED",
    (facts: PreconditionFacts) =>
      `Cannot apply the transaction: expected ${expectedWords(facts)} at "${facts.path}": current value is ${
        facts.found === "nothing" ? "nothing" : `a ${facts.found} of version ${facts.version}`
      }`,
  ),
};

/** A precondition, and what the transaction found. */
type PreconditionFacts = {
  readonly kind: "absent" | "exists" | "version" | "content-root";
  /** The expected version, or the expected content root in hexadecimal digits. */
  readonly expected: number | string | null;
  readonly path: string;
  readonly found: "directory" | "file" | "nothing";
  readonly version: number | null;
};

/** Returns what a precondition expects. It is `expected` in the details of the error. */
export function expectedWords(facts: Pick<PreconditionFacts, "kind" | "expected">): string {
  switch (facts.kind) {
    case "absent":
      return "nothing";
    case "exists":
      return "something";
    case "version":
      return `version ${facts.expected}`;
    case "content-root":
      return `a file with root ${facts.expected}`;
  }
}
