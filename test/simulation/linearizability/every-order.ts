import type { NameChange, NameInput, NameOutput } from "./directory-operations.ts";
import type { History, Operation } from "./history.ts";

type Step<State, Input, Output> = (
  state: State,
  input: Input,
  output: Output | null,
) => State | null;

/** Tries all orders, one after the other. A slow reference for the search. */
export function isExplainedBySomeOrder<State, Input, Output>(
  step: Step<State, Input, Output>,
  left: History<Input, Output>,
  state: State,
): boolean {
  if (left.every((operation) => operation.output === null)) return true;
  return left.some((operation) => {
    const isLate = left.some(
      (other) => other.output !== null && other.returnTime < operation.callTime,
    );
    if (isLate) return false;
    const next = step(state, operation.input, operation.output);
    const others = left.filter((other) => other !== operation);
    return next !== null && isExplainedBySomeOrder(step, others, next);
  });
}

/** An operation, and the version of its change if it has no answer. Null: no answer shows it. */
interface VersionedInput {
  readonly input: NameInput;
  readonly version: number | null;
}

interface Directory {
  readonly files: ReadonlyMap<string, { readonly value: string; readonly version: number | null }>;
  readonly highestVersion: number;
}

/**
 * Tries all orders of a history of one directory, with every choice of the unanswered changes that
 * have the versions of the reads. It uses nothing of the model but the types.
 */
export function isDirectoryExplained(history: History<NameInput, NameOutput>): boolean {
  const answered = new Set<number>();
  const found = new Set<number>();
  for (const { output } of history) {
    if (output?.kind === "done") answered.add(output.version);
    if (output?.kind === "found") found.add(output.version);
  }
  const unanswered = [...found].filter((version) => !answered.has(version));
  const start: Directory = { files: new Map(), highestVersion: 0 };
  const versioned = history.map((each) => {
    return { ...each, input: { input: each.input, version: null } };
  });
  return assignments(unanswered, versioned).some((assigned) => {
    return isExplainedBySomeOrder(stepOfDirectory, assigned, start);
  });
}

/** Returns all ways to assign each version to one unanswered change. */
function assignments(
  versions: readonly number[],
  history: History<VersionedInput, NameOutput>,
): readonly History<VersionedInput, NameOutput>[] {
  const [version, ...others] = versions;
  if (version === undefined) return [history];
  return history.flatMap((operation, position) => {
    if (!isFree(operation)) return [];
    const input = { ...operation.input, version };
    return assignments(others, history.with(position, { ...operation, input }));
  });
}

function isFree({ input, output }: Operation<VersionedInput, NameOutput>): boolean {
  return output === null && input.version === null && input.input.kind !== "read";
}

function stepOfDirectory(
  state: Directory,
  { input, version }: VersionedInput,
  output: NameOutput | null,
): Directory | null {
  if (input.kind === "read") return fitsRead(state, input.name, output) ? state : null;
  const files = new Map(state.files);
  const changes = input.kind === "transact" ? input.steps : [input];
  const own = output?.kind === "done" ? output.version : version;
  let refusal: Refusal | null = null;
  for (const change of changes) refusal ??= applyTo(files, change, own);
  if (output?.kind === "refused") return output.code === refusal ? state : null;
  if (own === null) return refusal === null ? { ...state, files } : state;
  const isPossible = refusal === null && own > state.highestVersion;
  return isPossible ? { files, highestVersion: own } : null;
}

function fitsRead({ files }: Directory, name: string, output: NameOutput | null): boolean {
  if (output === null) return true;
  const file = files.get(name);
  if (output.kind !== "found") return output.kind === "nothing" && file === undefined;
  return file?.value === output.value && file.version === output.version;
}

type Refusal = "ALREADY_EXISTS" | "NOT_FOUND";

/** Applies a change. @returns the code of the refusal, or null */
function applyTo(
  files: Map<string, { readonly value: string; readonly version: number | null }>,
  change: NameChange,
  version: number | null,
): Refusal | null {
  const file = files.get(change.name);
  if (change.kind === "put") {
    files.set(change.name, { value: change.value, version });
    return null;
  }
  if (change.kind === "create") {
    if (file !== undefined) return "ALREADY_EXISTS";
    files.set(change.name, { value: "", version });
    return null;
  }
  if (file === undefined) return "NOT_FOUND";
  if (change.kind === "rename" && change.to === change.name) return null;
  files.delete(change.name);
  if (change.kind === "rename") files.set(change.to, { value: file.value, version });
  return null;
}
