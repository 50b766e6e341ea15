import { unreachable } from "../../shared/base/assert.ts";
import { AshlarError, isAshlarError } from "../../shared/base/errors.ts";
import type { Operation, Precondition, Target } from "../../shared/protocol/namespace-api.ts";
import type { Transacted } from "../../shared/protocol/transact-api.ts";
import type { MasterSession } from "../masters/master-session.ts";
import type { CallOptions } from "../options.ts";
import {
  endOf,
  pathError,
  refuseDirectoryEnd,
  refuseDots,
  targetsOf,
  withoutEnd,
} from "./path-ends.ts";

/*
 * The rules of POSIX for the end of a path (rm(1), rmdir(2), rename(2), open(2)):
 *
 * - What "." and ".." name is not removed, renamed or created: INVALID_ARGUMENT. `mkdir -p` accepts
 *   both, because it changes nothing that exists.
 * - A path that ends with a slash names a directory. Operations on files refuse it.
 *
 * The masters ignore the end of a path, and entries in their logs depend on that. So the client
 * checks it. Where only the state at the commit can decide, the client adds guards to the
 * transaction: operations that have no effect on a directory and are refused for a file.
 */

/** A transaction as a caller requests it. */
export interface RequestedTransaction {
  readonly preconditions: readonly Precondition[];
  readonly operations: readonly Operation[];
}

/** An operation of the transaction that is sent. */
interface PlannedOperation {
  readonly operation: Operation;
  /** Position of the operation or the precondition of the caller that it belongs to. */
  readonly origin: number;
  /** The path that a guard requires to be a directory. Null for an operation of the caller. */
  readonly guarded: Target | null;
  readonly isPrecondition: boolean;
}

/**
 * Commits a transaction with the rules for the ends of paths.
 *
 * @throws {AshlarError} as `MasterSession.transact`; INVALID_ARGUMENT, IS_A_DIRECTORY,
 *   NOT_A_DIRECTORY for the end of a path.
 */
export async function transactChecked(
  masters: MasterSession,
  transaction: RequestedTransaction,
  options: CallOptions,
): Promise<Transacted> {
  if (!hasEnd(transaction)) return await masters.transact(transaction, options);
  const planned = await plan(masters, transaction, options);
  try {
    const { index, inodes } = await masters.transact(
      {
        preconditions: transaction.preconditions.map(withoutEndOfTarget),
        operations: planned.map(({ operation }) => operation),
      },
      options,
    );
    return { index, inodes: inodes.filter((_, position) => planned[position]?.guarded === null) };
  } catch (error) {
    throw refusalOfPlan(error, planned);
  }
}

function hasEnd({ preconditions, operations }: RequestedTransaction): boolean {
  return (
    operations.some((operation) => targetsOf(operation).some((each) => endOf(each) !== "name")) ||
    preconditions.some(({ target }) => endOf(target) !== "name")
  );
}

const withoutEndOfTarget = (precondition: Precondition): Precondition => ({
  ...precondition,
  target: withoutEnd(precondition.target),
});

async function plan(
  masters: MasterSession,
  { preconditions, operations }: RequestedTransaction,
  options: CallOptions,
): Promise<readonly PlannedOperation[]> {
  const planned: PlannedOperation[] = [];
  const add = (operation: Operation, origin: number, guarded: Target | null = null): void => {
    planned.push({ operation, origin, guarded, isPrecondition: false });
  };
  for (const [origin, { kind, target }] of preconditions.entries()) {
    if (endOf(target) === "name" || kind === "absent") continue;
    for (const operation of guardsOf(target)) {
      planned.push({ operation, origin, guarded: target, isPrecondition: true });
    }
  }
  for (const [origin, operation] of operations.entries()) {
    const { before, after } = await checkedOperation(masters, operation, { options, origin });
    for (const each of guardsOf(before?.target)) add(each, origin, before?.shown);
    add(withoutEnds(operation), origin);
    for (const each of guardsOf(after?.target)) add(each, origin, after?.shown);
  }
  return planned;
}

/** A path that must be a directory. */
interface Guard {
  readonly target: Target;
  /** The path that the error shows. */
  readonly shown: Target;
}

/** What must hold before and after an operation. */
interface Guards {
  readonly before: Guard | null;
  readonly after: Guard | null;
}

const NO_GUARDS: Guards = { before: null, after: null };

/** Checks the paths of an operation. The error has the position of the operation. */
async function checkedOperation(
  masters: MasterSession,
  operation: Operation,
  { options, origin }: { readonly options: CallOptions; readonly origin: number },
): Promise<Guards> {
  try {
    return await guardsFor(masters, operation, options);
  } catch (error) {
    if (!isAshlarError(error)) throw error;
    throw withPosition(error, { operationIndex: origin });
  }
}

async function guardsFor(
  masters: MasterSession,
  operation: Operation,
  options: CallOptions,
): Promise<Guards> {
  switch (operation.kind) {
    case "create":
    case "publish":
    case "put":
      refuseDots(operation.target, "create");
      await refuseDirectoryEnd(masters, operation.target, { ...options, isNew: true });
      return NO_GUARDS;
    case "copy":
      refuseDots(operation.to, "create");
      await refuseDirectoryEnd(masters, operation.from, { ...options, isNew: false });
      await refuseDirectoryEnd(masters, operation.to, { ...options, isNew: true });
      return NO_GUARDS;
    case "make-directory":
      if (!operation.parents) refuseDots(operation.target, "create");
      return NO_GUARDS;
    case "unlink":
      refuseDots(operation.target, "remove");
      await refuseDirectoryEnd(masters, operation.target, { ...options, isNew: false });
      return NO_GUARDS;
    case "commit-chunks":
      await refuseDirectoryEnd(masters, operation.target, { ...options, isNew: false });
      return NO_GUARDS;
    case "remove-directory":
      refuseDots(operation.target, "remove");
      return NO_GUARDS;
    case "remove-tree":
      refuseDots(operation.target, "remove");
      return { before: guardOf(operation.target), after: null };
    case "rename":
      return { before: guardOfRename(operation), after: null };
    case "restore":
      refuseDots(operation.to, "create");
      return { before: null, after: guardOf(operation.to) };
    case "set-attributes":
    case "set-storage-class":
      return { before: guardOf(operation.target), after: null };
    case "stage":
    case "stage-directory":
    case "unstage":
      return NO_GUARDS; // They change no path.
    default:
      return unreachable(operation);
  }
}

/** Returns the guard of a path that names a directory by its end. */
function guardOf(target: Target): Guard | null {
  return endOf(target) === "name" ? null : { target, shown: target };
}

/** A slash at the end of either path means that a directory is renamed. */
function guardOfRename({ from, to }: { readonly from: Target; readonly to: Target }): Guard | null {
  refuseDots(from, "rename");
  refuseDots(to, "rename");
  return endOf(to) === "name" ? guardOf(from) : { target: from, shown: to };
}

/**
 * Returns operations that have no effect if `path` is a directory. The first is refused with
 * NOT_FOUND if nothing is there, the second with ALREADY_EXISTS for a file. The root needs none.
 */
function guardsOf(path: Target | undefined): readonly Operation[] {
  if (path === undefined) return [];
  const target = withoutEnd(path);
  if (target.path?.length === 1) return [];
  return [
    { kind: "rename", from: target, to: target, noReplace: false },
    { kind: "make-directory", target, parents: true, mode: 0o755, uid: 0, gid: 0 },
  ];
}

function withoutEnds(operation: Operation): Operation {
  if (operation.kind === "unstage") return operation;
  if (operation.kind === "stage-directory") {
    return { ...operation, from: withoutEnd(operation.from) };
  }
  if ("target" in operation) return { ...operation, target: withoutEnd(operation.target) };
  return { ...operation, from: withoutEnd(operation.from), to: withoutEnd(operation.to) };
}

/** Returns the error for the caller's operations of the error for the planned ones. */
function refusalOfPlan(error: unknown, planned: readonly PlannedOperation[]): unknown {
  if (!isAshlarError(error)) return error;
  const { operationIndex } = error.details;
  const refused = typeof operationIndex === "number" ? planned[operationIndex] : undefined;
  if (refused === undefined) return error;
  const { guarded, origin, isPrecondition } = refused;
  if (!isPrecondition && (guarded === null || error.code !== "ALREADY_EXISTS")) {
    return withPosition(error, { operationIndex: origin });
  }
  const fault = pathError("NOT_A_DIRECTORY", guarded as Target);
  if (!isPrecondition) return withPosition(fault, { operationIndex: origin });
  const text = `Cannot apply the transaction: ${fault.message}`;
  return new AshlarError("PRECONDITION_FAILED", text, { details: { preconditionIndex: origin } });
}

function withPosition(
  error: AshlarError,
  position: Readonly<Record<string, unknown>>,
): AshlarError {
  const { code, message, hint, details } = error;
  return new AshlarError(code, message, {
    cause: error,
    ...(hint === undefined ? {} : { hint }),
    details: { ...details, ...position },
  });
}
