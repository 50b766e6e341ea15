import { unreachable } from "../../../shared/base/assert.ts";
import type { History, SequentialModel } from "./history.ts";

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

interface File {
  readonly value: string;
  /** Null: unknown. The write had no answer, and no read has returned the version yet. */
  readonly version: number | null;
}

/** The state of one directory in the model. */
export interface DirectoryState {
  readonly files: ReadonlyMap<string, File>;
  /** The highest version in any answer so far. */
  readonly highestVersion: number;
}

type Effect = ReadonlyMap<string, File> | "ALREADY_EXISTS" | "NOT_FOUND";

/**
 * The model of a directory with files: create, put, remove, rename, transactions of these, and
 * reads of a value with its version. Versions increase: a version that is not higher than all
 * earlier versions is a violation too. This rule also makes the search fast.
 */
export const directoryModel: SequentialModel<DirectoryState, NameInput, NameOutput> = {
  initial: { files: new Map(), highestVersion: 0 },

  step(state, input, output) {
    if (input.kind === "read") return read(state, input.name, output);
    const changes = input.kind === "transact" ? input.steps : [input];
    return change(state, changes, output);
  },

  describeState({ files }) {
    const texts = [...files].map(([name, { value, version }]) => {
      return `${name} = ${JSON.stringify(value)} ${version === null ? "v?" : `v${version}`}`;
    });
    return texts.length === 0 ? "nothing" : texts.sort().join(", ");
  },

  describe(input, output) {
    return `${describeInput(input)} → ${output === null ? "?" : describeOutput(output)}`;
  },

  simplify: withoutUnseenValues,

  isRead: (input, output) => input.kind === "read" || output?.kind === "refused",
};

function read(
  state: DirectoryState,
  name: string,
  output: NameOutput | null,
): DirectoryState | null {
  if (output === null) return state;
  const file = state.files.get(name);
  if (output.kind === "nothing") return file === undefined ? state : null;
  if (output.kind !== "found" || file?.value !== output.value) return null;
  if (file.version === output.version) return state;
  if (file.version !== null) return null;
  // From here on the version is known, and every later read must return the same version.
  const files = new Map(state.files).set(name, { value: file.value, version: output.version });
  return { files, highestVersion: Math.max(state.highestVersion, output.version) };
}

function change(
  state: DirectoryState,
  changes: readonly NameChange[],
  output: NameOutput | null,
): DirectoryState | null {
  const version = output?.kind === "done" ? output.version : null;
  let effect: Effect = state.files;
  for (const each of changes) {
    effect = effectOf(effect, each, version);
    if (typeof effect === "string") break;
  }
  if (typeof effect === "string") {
    const isRefused = output === null || (output.kind === "refused" && output.code === effect);
    return isRefused ? state : null;
  }
  if (output === null) return { ...state, files: effect };
  if (output.kind !== "done" || output.version <= state.highestVersion) return null;
  return { files: effect, highestVersion: output.version };
}

function effectOf(
  files: ReadonlyMap<string, File>,
  change: NameChange,
  version: number | null,
): Effect {
  const file = files.get(change.name);
  switch (change.kind) {
    case "create":
      if (file !== undefined) return "ALREADY_EXISTS";
      return new Map(files).set(change.name, { value: "", version });
    case "put":
      return new Map(files).set(change.name, { value: change.value, version });
    case "remove":
      return file === undefined ? "NOT_FOUND" : without(files, change.name);
    case "rename":
      if (file === undefined) return "NOT_FOUND";
      if (change.to === change.name) return files;
      return without(files, change.name).set(change.to, { value: file.value, version });
    default:
      return unreachable(change);
  }
}

/**
 * Replaces the values of unanswered puts that no read has returned by one common value, so that
 * more operations are equal.
 */
function withoutUnseenValues(
  history: History<NameInput, NameOutput>,
): History<NameInput, NameOutput> {
  const seen = new Set<string>();
  for (const { output } of history) if (output?.kind === "found") seen.add(output.value);
  const blank = <Change extends NameInput>(change: Change): Change =>
    change.kind === "put" && !seen.has(change.value) ? { ...change, value: "unseen" } : change;
  return history.map((operation) => {
    const { input, output } = operation;
    if (output !== null) return operation;
    if (input.kind !== "transact") return { ...operation, input: blank(input) };
    return { ...operation, input: { ...input, steps: input.steps.map(blank) } };
  });
}

function without(files: ReadonlyMap<string, File>, name: string): Map<string, File> {
  const rest = new Map(files);
  rest.delete(name);
  return rest;
}

function describeInput(input: NameInput): string {
  switch (input.kind) {
    case "put":
      return `put ${input.name} = ${JSON.stringify(input.value)}`;
    case "rename":
      return `rename ${input.name} to ${input.to}`;
    case "transact":
      return `{ ${input.steps.map(describeInput).join("; ")} }`;
    default:
      return `${input.kind} ${input.name}`;
  }
}

function describeOutput(output: NameOutput): string {
  switch (output.kind) {
    case "done":
      return `v${output.version}`;
    case "refused":
      return output.code;
    case "found":
      return `${JSON.stringify(output.value)} v${output.version}`;
    case "nothing":
      return "nothing";
    default:
      return unreachable(output);
  }
}
