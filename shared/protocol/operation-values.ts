import { AshlarError } from "../base/errors.ts";
import { DEPTH_MAX, displayName, parsePath } from "../base/path.ts";
import { TIME_MS_MAX } from "../base/times.ts";
import type { Operation, Target } from "./namespace-api.ts";
import { MODE_MAX, OWNER_SET_MAX } from "./schemas.ts";

/** The values of an operation that callers choose freely, by name. */
interface FreeValues {
  readonly mode?: number | undefined;
  readonly uid?: number | undefined;
  readonly gid?: number | undefined;
  readonly mtimeMs?: number | undefined;
  readonly atimeMs?: number | undefined;
}

/**
 * Checks the mode, the owner and the times of an operation, which every reader must be able to show, and
 * the depth of its new name.
 * The client checks before it sends, and the leader before it proposes. Applying an entry does not
 * check again: entries of older versions with other values must have the same effect as before.
 *
 * @throws {AshlarError} INVALID_ARGUMENT, NAME_TOO_LONG
 */
export function checkOperationValues(
  operation: Operation,
  details: Readonly<Record<string, unknown>> = {},
): void {
  if (operation.kind === "unstage" || operation.kind === "stage-directory") return; // No values.
  const target = "target" in operation ? operation.target : operation.to;
  checkFreeValues(target, operation as FreeValues, details);
  if (NAMING.has(operation.kind)) checkDepth("to" in operation ? operation.to : target, details);
}

/** The operations that make a name. */
const NAMING: ReadonlySet<Operation["kind"]> = new Set<Operation["kind"]>([
  ...(["copy", "create", "make-directory", "publish", "put", "rename", "restore"] as const),
]);
const SLASH = 0x2f;

/** Checks the names of a path, without those above its inode, which only the masters know. */
function checkDepth({ path }: Target, details: Readonly<Record<string, unknown>>): void {
  if (path === undefined || path.length <= DEPTH_MAX) return;
  let slashes = 0;
  for (const byte of path) if (byte === SLASH) slashes += 1;
  if (slashes <= DEPTH_MAX) return;
  const depth = parsePath(path).length;
  if (depth <= DEPTH_MAX) return;
  throw new AshlarError(
    "NAME_TOO_LONG",
    `Cannot use a path of ${depth} names: expected at most ${DEPTH_MAX}`,
    { details: { ...details, limit: "depth", max: DEPTH_MAX, depth } },
  );
}

/**
 * Checks the values of a change of `target`.
 *
 * @throws {AshlarError} INVALID_ARGUMENT, with `details`
 */
export function checkFreeValues(
  { path, inode }: Target,
  values: FreeValues,
  details: Readonly<Record<string, unknown>> = {},
): void {
  const fault = valueFault(values);
  if (fault === null) return;
  const name = path === undefined ? `inode ${inode}` : displayName(path);
  throw new AshlarError("INVALID_ARGUMENT", `Cannot change ${name}: ${fault}`, { details });
}

/** Returns what is wrong with the first invalid value, or null. */
function valueFault({ mode, uid, gid, mtimeMs, atimeMs }: FreeValues): string | null {
  if (!isIntegerTo(MODE_MAX, mode)) return integerFault("mode", `0o${MODE_MAX.toString(8)}`, mode);
  if (!isIntegerTo(OWNER_SET_MAX, uid)) return integerFault("uid", `${OWNER_SET_MAX}`, uid);
  if (!isIntegerTo(OWNER_SET_MAX, gid)) return integerFault("gid", `${OWNER_SET_MAX}`, gid);
  if (!isTime(mtimeMs)) return timeFault("mtimeMs", mtimeMs);
  if (!isTime(atimeMs)) return timeFault("atimeMs", atimeMs);
  return null;
}

const isIntegerTo = (maximum: number, value: number | undefined): boolean =>
  value === undefined || (Number.isInteger(value) && value >= 0 && value <= maximum);

const isTime = (value: number | undefined): boolean =>
  value === undefined || (typeof value === "number" && Math.abs(value) <= TIME_MS_MAX);

const integerFault = (name: string, maximum: string, value: unknown): string =>
  `expected ${name} to be an integer from 0 to ${maximum}: current value is ${String(value)}`;

const timeFault = (name: string, value: unknown): string =>
  `expected ${name} to be from ${-TIME_MS_MAX} to ${TIME_MS_MAX} ms: current value is ${String(value)}`;
