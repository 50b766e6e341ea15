import { AshlarError, isAshlarError } from "../../shared/base/errors.ts";
import {
  displayName,
  endOfPath,
  joinPath,
  type PathEnd,
  parsePath,
} from "../../shared/base/path.ts";
import { pathErrorMessage } from "../../shared/base/path-errors.ts";
import type { Attributes } from "../../shared/protocol/attributes.ts";
import type { Operation, Target } from "../../shared/protocol/namespace-api.ts";
import type { MasterSession } from "../masters/master-session.ts";
import type { CallOptions } from "../options.ts";

/** Returns the end of the path of a target. An inode without a path has a name. */
export function endOf({ path }: Target): PathEnd {
  return path === undefined ? "name" : endOfPath(path);
}

/** Returns a target without the slash or the dots at the end of its path. */
export function withoutEnd(target: Target): Target {
  if (target.path === undefined || endOfPath(target.path) === "name") return target;
  return { ...target, path: joinPath(parsePath(target.path)) };
}

/**
 * Checks that a path that names a directory leads to one: "f/" of a file is no path
 * (path_resolution(7)).
 *
 * @throws {AshlarError} NOT_A_DIRECTORY
 */
export function checkEnd(target: Target, { kind }: Pick<Attributes, "kind">): void {
  if (kind === "directory" || endOf(target) === "name") return;
  throw pathError("NOT_A_DIRECTORY", target);
}

/** Returns the error about the path of a target. */
export function pathError(
  code: "IS_A_DIRECTORY" | "NOT_A_DIRECTORY",
  { path, inode }: Target,
): AshlarError {
  const name = path === undefined ? `inode ${inode}` : displayName(path);
  return new AshlarError(code, pathErrorMessage(code, name));
}

/** Refuses a path whose last name is "." or "..". @throws {AshlarError} INVALID_ARGUMENT */
export function refuseDots(target: Target, verb: "create" | "remove" | "rename"): void {
  if (endOf(target) !== "dots") return;
  throw new AshlarError(
    "INVALID_ARGUMENT",
    `Cannot ${verb} ${displayName(target.path as Uint8Array)}: expected a last name that is not "." or ".."`,
  );
}

/**
 * Refuses a path that names a directory by its end where a file is meant. The kind of the existing entry
 * decides the code.
 *
 * @throws {AshlarError} IS_A_DIRECTORY, NOT_A_DIRECTORY; NOT_FOUND unless `isNew`
 */
export async function refuseDirectoryEnd(
  masters: MasterSession,
  target: Target,
  options: CallOptions & { readonly isNew: boolean },
): Promise<void> {
  if (endOf(target) === "name") return;
  const { isNew, ...call } = options;
  throw pathError(
    (await isDirectory(masters, target, { isNew, call })) ? "IS_A_DIRECTORY" : "NOT_A_DIRECTORY",
    target,
  );
}

async function isDirectory(
  masters: MasterSession,
  target: Target,
  { isNew, call }: { readonly isNew: boolean; readonly call: CallOptions },
): Promise<boolean> {
  try {
    const attributes = await masters.stat(withoutEnd(target), {
      ...call,
      readMode: "linearizable",
    });
    return attributes.kind === "directory";
  } catch (error) {
    if (isNew && isAshlarError(error, "NOT_FOUND")) return false;
    throw error;
  }
}

/**
 * Checks the path of a file that a call creates or replaces.
 *
 * @throws {AshlarError} INVALID_ARGUMENT, IS_A_DIRECTORY, NOT_A_DIRECTORY
 */
export async function checkFilePath(
  masters: MasterSession,
  target: Target,
  call: CallOptions,
): Promise<void> {
  refuseDots(target, "create");
  await refuseDirectoryEnd(masters, target, { ...call, isNew: true });
}

/** Returns the targets of an operation. */
export function targetsOf(operation: Operation): readonly Target[] {
  if (operation.kind === "unstage") return [];
  if (operation.kind === "stage-directory") return [operation.from];
  return "target" in operation ? [operation.target] : [operation.from, operation.to];
}
