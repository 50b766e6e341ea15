import { AshlarError } from "../shared/base/errors.ts";
import type { FileSystem } from "./file-system.ts";

/** A form of an argument. */
interface Shape {
  /** For messages, such as `expected a list of operations`. */
  readonly expected: string;
  readonly matches: (value: unknown) => boolean;
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
const isText = (value: unknown): boolean => typeof value === "string";

const PATH: Shape = {
  expected: "a path: a string or a Uint8Array",
  matches: (value) => isText(value) || ArrayBuffer.isView(value),
};
const TEXT: Shape = { expected: "a string", matches: isText };
const NUMBER: Shape = { expected: "a number", matches: (value) => typeof value === "number" };
const OBJECT: Shape = { expected: "an object", matches: isObject };
const AS_OF: Shape = {
  expected: "a log index, { timeMs } or { agoMs }",
  matches: (value) =>
    typeof value === "number" || (isObject(value) && ("timeMs" in value || "agoMs" in value)),
};
const SOURCE: Shape = {
  expected: "a string, a Uint8Array, a Blob or a stream",
  matches: (value) => isText(value) || isObject(value) || Array.isArray(value),
};

const OPTIONS = optional({ expected: "an object of options", matches: isObject });
const MODE = optional({ expected: 'the mode "read"', matches: (value) => value === "read" });
const OPERATIONS = listOf("operations", hasTarget);
const PRECONDITIONS = optional(listOf("preconditions", hasTarget));

function optional({ expected, matches }: Shape): Shape {
  return { expected, matches: (value) => value === undefined || matches(value) };
}

function listOf(items: string, matches: (item: unknown) => boolean): Shape {
  return {
    expected: `a list of ${items}, each with a kind and a target (see targetOf)`,
    matches: (value) => Array.isArray(value) && value.every(matches),
  };
}

/** Staging operations have no target, and those with two paths name it `to`. */
function hasTarget(item: unknown): boolean {
  if (!isObject(item) || !isText(item["kind"])) return false;
  if (item["kind"] === "unstage" || item["kind"] === "stage-directory") return true;
  return isObject(item["target"]) || isObject(item["to"]);
}

type MethodName = {
  readonly [Key in keyof FileSystem]: FileSystem[Key] extends (...given: never[]) => unknown
    ? Key
    : never;
}[keyof FileSystem];

/** The arguments of each method, in order. */
const SHAPES: Readonly<
  Record<Exclude<MethodName, "transaction" | typeof Symbol.asyncDispose>, readonly Shape[]>
> = {
  stat: [PATH, OPTIONS],
  exists: [PATH, OPTIONS],
  list: [PATH, OPTIONS],
  listPage: [PATH, OPTIONS],
  walk: [PATH, OPTIONS],
  asOf: [AS_OF, OPTIONS],
  history: [PATH, OPTIONS],
  watch: [PATH, OPTIONS],
  mkdir: [PATH, OPTIONS],
  create: [PATH, OPTIONS],
  rename: [PATH, PATH, OPTIONS],
  copy: [PATH, PATH, OPTIONS],
  unlink: [PATH, OPTIONS],
  rmdir: [PATH, OPTIONS],
  removeTree: [PATH, OPTIONS],
  setAttributes: [PATH, OBJECT, OPTIONS],
  setStorageClass: [PATH, TEXT, OPTIONS],
  defineStorageClass: [OBJECT, OPTIONS],
  listStorageClasses: [OPTIONS],
  transact: [OPERATIONS, PRECONDITIONS, OPTIONS],
  restore: [PATH, OBJECT],
  readFile: [PATH, OPTIONS],
  readText: [PATH, OPTIONS],
  read: [PATH, OPTIONS],
  readSlabs: [PATH, OPTIONS],
  createReadStream: [PATH, OPTIONS],
  readableStream: [PATH, OPTIONS],
  open: [PATH, MODE, OPTIONS],
  writeFile: [PATH, SOURCE, OPTIONS],
  createWriteStream: [PATH, OPTIONS],
  writableStream: [PATH, OPTIONS],
  status: [OPTIONS],
  trimHistory: [OPTIONS],
  removeServer: [TEXT, OPTIONS],
  setHistoryRetention: [NUMBER, OPTIONS],
  backup: [OPTIONS],
  verify: [PATH, OPTIONS],
  checksum: [PATH, OPTIONS],
};

const ORDINALS = ["first", "second", "third"];

/** The methods whose result is no promise. */
const SYNCHRONOUS: ReadonlySet<string | symbol> = new Set<keyof typeof SHAPES>([
  ...(["list", "walk", "history", "watch", "read", "readSlabs", "backup", "verify"] as const),
  ...(["createReadStream", "readableStream", "createWriteStream", "writableStream"] as const),
]);

/**
 * Checks the form of the arguments of a method of `FileSystem`. JavaScript code has no types, and options in
 * the place of another argument would have no effect, or an error that names something else.
 *
 * @returns null if the arguments have the right form, else a promise that rejects with INVALID_ARGUMENT
 * @throws {AshlarError} INVALID_ARGUMENT instead, for a method that returns no promise
 */
export function refuseCall(
  method: string | symbol,
  given: readonly unknown[],
): Promise<never> | null {
  const fault = argumentFault(method, given);
  if (fault === null) return null;
  if (SYNCHRONOUS.has(method)) throw fault;
  return Promise.reject(fault);
}

function argumentFault(method: string | symbol, given: readonly unknown[]): AshlarError | null {
  const shapes = Object.hasOwn(SHAPES, method) ? SHAPES[method as keyof typeof SHAPES] : [];
  for (const [position, { expected, matches }] of shapes.entries()) {
    const value = given[position];
    if (matches(value)) continue;
    return new AshlarError(
      "INVALID_ARGUMENT",
      `Cannot call ${String(method)}: expected ${expected} as the ${ORDINALS[position]} argument: current value is ${kindOf(value)}`,
    );
  }
  return null;
}

/** Returns what a value is, for display. */
function kindOf(value: unknown): string {
  if (value === null || value === undefined) return String(value);
  if (Array.isArray(value)) return "an array";
  if (typeof value === "object")
    return `an object with the keys ${Object.keys(value).slice(0, 5).join(", ") || "(none)"}`;
  return typeof value === "string" ? JSON.stringify(value.slice(0, 40)) : `a ${typeof value}`;
}
