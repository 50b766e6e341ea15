import { AshlarError } from "../base/errors.ts";
import { displayName } from "../base/path.ts";
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
 * Checks the mode, the owner and the times of an operation, which every reader must be able to show.
 * The client checks before it sends, and the leader before it proposes. Applying an entry does not
 * check again: entries of older versions with other values must have the same effect as before.
 *
 * @throws {AshlarError} INVALID_ARGUMENT
 */
export function checkOperationValues(
  operation: Operation,
  details: Readonly<Record<string, unknown>> = {},
): void {
  if (operation.kind === "unstage" || operation.kind === "stage-directory") return; // No values.
  const target = "target" in operation ? operation.target : operation.to;
  checkFreeValues(target, operation as FreeValues, details);
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
