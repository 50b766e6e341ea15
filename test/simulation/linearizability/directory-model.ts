import { unreachable } from "../../../shared/base/assert.ts";
import type { NameChange, NameInput, NameOutput } from "./directory-operations.ts";
import type { History, SequentialModel } from "./history.ts";
import { ObservedVersions, type Sighting } from "./observed-versions.ts";

interface File {
  readonly value: string;
  /** Null: the last change had no answer, and no answer so far shows its version. */
  readonly version: number | null;
  /**
   * If `version` is null: the number of the change that made it null, in the order of the changes.
   * 0: no later answer can show the version.
   */
  readonly changeNumber: number;
  /** Number of reads of this file at this version that are not placed yet. */
  readonly readsLeft: number;
}

type Files = ReadonlyMap<string, File>;

/** The state of one directory in the model. */
export interface DirectoryState {
  readonly files: Files;
  /** The highest version in any answer so far. */
  readonly highestVersion: number;
  /** Number of unanswered changes so far. */
  readonly unansweredCount: number;
  readonly observed: ObservedVersions;
}

type Effect = Files | "ALREADY_EXISTS" | "NOT_FOUND";

/**
 * The model of a directory with files: create, put, remove, rename, transactions of these, and
 * reads of a value with its version. A version is the log index of a change. Every order must have
 * increasing versions, including those of unanswered changes that reads show.
 *
 * The state contains what the answers of the whole history say about versions. The model refuses a
 * step at once if an operation of known output could not be placed afterwards. All these operations
 * must be placed, so the refused step is part of no valid order:
 *
 * - The versions in the answers are reached in ascending order. A change of version N is refused
 *   while an answered change of a lower version is not placed.
 * - An unanswered change of an observed version V is placed before the first change of a higher
 *   version. The first read of V is placed after it. Until then, the files of V stay as V left
 *   them: otherwise the reads of V would fail. So a step that reaches or passes V is refused if
 *   these files are different or were not written by one unanswered change after the last version.
 * - A file does not change while a read of its present version is not placed.
 * - A value that only one change writes stays in a file until all reads of it are placed.
 */
export const directoryModel: SequentialModel<DirectoryState, NameInput, NameOutput> = {
  start(history) {
    const observed = new ObservedVersions(history);
    return { files: new Map(), highestVersion: 0, unansweredCount: 0, observed };
  },

  step(state, input, output) {
    if (input.kind === "read") return read(state, input.name, output);
    const changes = input.kind === "transact" ? input.steps : [input];
    return change(state, changes, output);
  },

  keyOf,

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

/**
 * Omits what no later step depends on. A version matters only to reads of it that are not placed
 * yet. A value matters only if a read returns it at a later version, after a rename or before the
 * version is known. The number of an unanswered change matters only if a later answer shows its
 * version, and only by its order.
 */
function keyOf({ files, highestVersion, observed }: DirectoryState): string {
  const numberOf = (name: string, { value, changeNumber }: File): number =>
    observed.isShownAfter(highestVersion, name, value) ? changeNumber : 0;
  const numbers = new Set([...files].map(([name, file]) => numberOf(name, file)));
  const ascending = [...numbers.add(0)].sort((left, right) => left - right);
  const texts = [...files].map(([name, file]) => {
    const { value, version, readsLeft } = file;
    if (readsLeft > 0) return `${name} v${version} ${JSON.stringify(value)}`;
    const shown = observed.isSeenAfter(highestVersion, value) ? JSON.stringify(value) : "";
    return `${name} ?${ascending.indexOf(numberOf(name, file))} ${shown}`;
  });
  return texts.sort().join(", ");
}

function read(
  state: DirectoryState,
  name: string,
  output: NameOutput | null,
): DirectoryState | null {
  if (output === null) return state;
  const isMissing = !state.files.has(name);
  if (output.kind === "nothing") return isMissing ? state : null;
  if (output.kind !== "found") return null;
  const { value, version } = output;
  const shown = version > state.highestVersion ? showVersions(state, version + 1) : state;
  const file = shown?.files.get(name);
  if (shown === null || file?.version !== version || file.value !== value) return null;
  const files = new Map(shown.files).set(name, { ...file, readsLeft: file.readsLeft - 1 });
  return { ...shown, files, highestVersion: Math.max(shown.highestVersion, version) };
}

/**
 * Assigns the observed versions after the highest one and before `before` to the unanswered changes
 * that must have them. Returns null if there are no such changes.
 */
function showVersions(state: DirectoryState, before: number): DirectoryState | null {
  const { observed, highestVersion } = state;
  const versions = observed.unansweredBetween({ after: highestVersion, before });
  if (versions === null) return null;
  let { files } = state;
  for (const version of versions) {
    const shown = showVersion(files, version, observed.sightingsAt(version));
    if (shown === null) return null;
    files = shown;
  }
  return { ...state, files, highestVersion: versions.at(-1) ?? highestVersion };
}

function showVersion(
  files: Files,
  version: number,
  sightings: ReadonlyMap<string, Sighting>,
): Files | null {
  let changeNumber = 0;
  for (const [name, { value }] of sightings) {
    const file = files.get(name);
    if (file === undefined || file.value !== value || file.changeNumber === 0) return null;
    // All files of one version were written by one change.
    if (changeNumber !== 0 && file.changeNumber !== changeNumber) return null;
    changeNumber = file.changeNumber;
  }
  const after = withoutOldNumbers(files, changeNumber);
  for (const [name, { value, readCount }] of sightings) {
    after.set(name, { value, version, changeNumber: 0, readsLeft: readCount });
  }
  return after;
}

/** Notes that no later answer can show the versions of the changes up to `changeNumber`. */
function withoutOldNumbers(files: Files, changeNumber: number): Map<string, File> {
  const after = new Map<string, File>();
  for (const [name, file] of files) {
    const isOld = file.changeNumber <= changeNumber;
    after.set(name, isOld ? { ...file, changeNumber: 0 } : file);
  }
  return after;
}

function change(
  state: DirectoryState,
  changes: readonly NameChange[],
  output: NameOutput | null,
): DirectoryState | null {
  if (output?.kind === "done") return answeredChange(state, changes, output.version);
  const effect = effectOfAll(state.files, changes, {
    version: null,
    changeNumber: state.unansweredCount + 1,
  });
  if (typeof effect === "string") {
    const isRefused = output === null || (output.kind === "refused" && output.code === effect);
    return isRefused ? state : null;
  }
  if (output !== null) return null;
  const after = { ...state, files: effect, unansweredCount: state.unansweredCount + 1 };
  return keepsWhatIsRead(state.files, after) ? after : null;
}

function answeredChange(
  state: DirectoryState,
  changes: readonly NameChange[],
  version: number,
): DirectoryState | null {
  if (version <= state.highestVersion) return null;
  const shown = showVersions(state, version);
  if (shown === null) return null;
  const before = withoutOldNumbers(shown.files, Number.POSITIVE_INFINITY);
  const effect = effectOfAll(before, changes, { version, changeNumber: 0 });
  if (typeof effect === "string") return null;
  const files = new Map(effect);
  for (const [name, { value, readCount }] of state.observed.sightingsAt(version)) {
    const file = files.get(name);
    if (file?.version !== version || file.value !== value) return null;
    files.set(name, { ...file, readsLeft: readCount });
  }
  const after = { ...shown, files, highestVersion: version };
  return keepsWhatIsRead(before, after) ? after : null;
}

/** Returns whether a change keeps all files and values that reads still have to return. */
function keepsWhatIsRead(before: Files, after: DirectoryState): boolean {
  const { files, observed, highestVersion } = after;
  for (const [name, file] of before) {
    if (files.get(name) === file) continue;
    if (file.readsLeft > 0) return false;
    const { value } = file;
    const isNeeded = observed.isSeenAfter(highestVersion, value) && observed.isPutOnce(value);
    if (isNeeded && ![...files.values()].some((each) => each.value === value)) return false;
  }
  return true;
}

type Stamp = Pick<File, "version" | "changeNumber">;

function effectOfAll(files: Files, changes: readonly NameChange[], stamp: Stamp): Effect {
  let effect: Effect = files;
  for (const each of changes) {
    effect = effectOf(effect, each, stamp);
    if (typeof effect === "string") break;
  }
  return effect;
}

function effectOf(files: Files, change: NameChange, stamp: Stamp): Effect {
  const file = files.get(change.name);
  switch (change.kind) {
    case "create":
      if (file !== undefined) return "ALREADY_EXISTS";
      return new Map(files).set(change.name, { value: "", ...stamp, readsLeft: 0 });
    case "put":
      return new Map(files).set(change.name, { value: change.value, ...stamp, readsLeft: 0 });
    case "remove":
      return file === undefined ? "NOT_FOUND" : without(files, change.name);
    case "rename":
      if (file === undefined) return "NOT_FOUND";
      if (change.to === change.name) return files;
      return without(files, change.name).set(change.to, {
        value: file.value,
        ...stamp,
        readsLeft: 0,
      });
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
