/** An operation on the files of one directory. The directory is the key of the history. */
export type NameInput =
  | { readonly kind: "create"; readonly name: string }
  | { readonly kind: "put"; readonly name: string; readonly value: string }
  | { readonly kind: "remove"; readonly name: string }
  | { readonly kind: "rename"; readonly name: string; readonly to: string }
  | { readonly kind: "read"; readonly name: string }
  | { readonly kind: "transact"; readonly steps: readonly NameChange[] };

/** An operation that a transaction may contain. */
export type NameChange = Exclude<NameInput, { kind: "read" | "transact" }>;

/** The answer to an operation. */
export type NameOutput =
  /** `version` is the index of the log entry that made the change. */
  | { readonly kind: "done"; readonly version: number }
  | { readonly kind: "refused"; readonly code: "ALREADY_EXISTS" | "NOT_FOUND" }
  | { readonly kind: "found"; readonly value: string; readonly version: number }
  | { readonly kind: "nothing" };
