import { unreachable } from "../../shared/base/assert.ts";
import { equalBytes, toHex } from "../../shared/base/bytes.ts";
import type { InodeId } from "../../shared/base/ids.ts";
import type { Precondition, Target } from "../../shared/protocol/namespace-api.ts";
import { inodeVersion } from "./attributes.ts";
import type { Change } from "./change.ts";
import type { NamespaceOperation, Outcome, Refused, Transact } from "./command.ts";
import { commitChunks } from "./commit-chunks.ts";
import { DETAILS_UNITS_MAX } from "./cost.ts";
import { makeDirectory, removeDirectory, removeTree, unlink } from "./directories.ts";
import { FEATURE_LEVEL_REASONS } from "./feature-levels.ts";
import { copy, create, put, restore, setAttributes, setStorageClass } from "./files.ts";
import { publish } from "./publish.ts";
import type { InodeRecord } from "./records.ts";
import { Refusal, refusal } from "./refusal.ts";
import { frozenRefusal } from "./refusal-words-0-1.ts";
import { rename } from "./rename.ts";
import { stage, stageDirectory, unstage } from "./staging.ts";
import { resolve, showTarget } from "./tree.ts";

/**
 * Applies all operations of a transaction, or none. Each operation sees the effects of those before
 * it. Preconditions are checked before the first operation.
 */
export function transact(change: Change, command: Transact): Outcome {
  let operationIndex: number | null = null;
  try {
    change.limitCost();
    const { preconditions, operations } = command;
    for (let index = 0; index < preconditions.length; index += 1) {
      checkPrecondition(change, preconditions[index] as Precondition, index);
    }
    const results: { inode: InodeId | null }[] = [];
    for (operationIndex = 0; operationIndex < operations.length; operationIndex += 1) {
      const operation = operations[operationIndex] as NamespaceOperation;
      results.push({ inode: applyOperation(change, command, operation)?.id ?? null });
    }
    change.endCostLimit();
    return { ok: true, index: change.index, results };
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    const operation = operationIndex === null ? undefined : command.operations[operationIndex];
    const refused = refusedOutcome(change, error, operation);
    change.rollback();
    return { ...refused, operationIndex };
  }
}

/**
 * Adds the operation's path and the inode at this path to the details of a refusal. The inode is as
 * the operations before it left it, so this runs before the rollback.
 */
function withTargetDetails(
  change: Change,
  refusal: Refusal,
  operation: NamespaceOperation,
): Refusal {
  // The details of this one would cost more. The others have no target.
  if (refusal.reason === "entry-units") return refusal;
  if (operation.kind === "unstage" || operation.kind === "stage-directory") return refusal;
  const { reason, facts, lookup } = refusal;
  const target = "target" in operation ? operation.target : operation.to;
  const details = { ...refusal.details, ...targetDetails(change, target) };
  return new Refusal(reason, facts, { details, lookup });
}

/** Returns the path of a target as text, and a description of its inode. */
function targetDetails(change: Change, target: Target): Readonly<Record<string, unknown>> {
  try {
    return {
      path: showTarget(change, target),
      found: describeInode(change, inodeAt(change, target)),
    };
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    return {}; // The target itself is invalid, or its details cost too much.
  }
}

function describeInode(
  change: Change,
  inode: InodeRecord | undefined,
): Readonly<Record<string, unknown>> {
  if (inode === undefined) return { kind: "nothing" };
  const version = inodeVersion(change, inode);
  if (inode.kind === "directory") {
    return { kind: "directory", version, entryCount: change.directory(inode.id).entryCount };
  }
  const { sizeBytes, contentRoot } = inode;
  return { kind: "file", version, sizeBytes, contentRoot: toHex(contentRoot) };
}

/**
 * Returns the outcome of a refused command.
 *
 * @param operation the refused operation of a transaction: the call is then before the rollback, because the
 *   details show its target as the operations before it left it
 */
export function refusedOutcome(
  change: Change,
  error: Refusal,
  operation?: NamespaceOperation,
): Refused {
  // A refusal has the same details however much of its own bound the entry has used up.
  change.allowUnits(DETAILS_UNITS_MAX);
  const refusal = operation === undefined ? error : withTargetDetails(change, error, operation);
  const { code, reason, facts, details } = refusal;
  change.endCostLimit(); // The words may need the names above a target.
  const isFrozen = change.featureLevel < FEATURE_LEVEL_REASONS;
  const frozen = isFrozen ? frozenRefusal(refusal, operation) : null;
  const { index } = change;
  return { ok: false, index, code, reason, facts, details, operationIndex: null, frozen };
}

function checkPrecondition(
  change: Change,
  precondition: Precondition,
  preconditionIndex: number,
): void {
  const { kind, target } = precondition;
  const inode = inodeAt(change, target);
  if (isSatisfied(change, precondition, inode)) return;
  const path = showTarget(change, target);
  const version = inode === undefined ? null : inodeVersion(change, inode);
  const expected = expectedFact(precondition);
  const facts = { kind, path, expected, found: inode?.kind ?? "nothing", version } as const;
  const found = describeInode(change, inode);
  throw refusal("precondition-failed", facts, { preconditionIndex, kind, path, version, found });
}

function isSatisfied(
  change: Change,
  precondition: Precondition,
  inode: InodeRecord | undefined,
): boolean {
  switch (precondition.kind) {
    case "absent":
      return inode === undefined;
    case "exists":
      return inode !== undefined;
    case "version":
      return inode !== undefined && inodeVersion(change, inode) === precondition.version;
    case "content-root":
      return inode?.kind === "file" && equalBytes(inode.contentRoot, precondition.root);
    default:
      return unreachable(precondition);
  }
}

function expectedFact(precondition: Precondition): number | string | null {
  if (precondition.kind === "version") return precondition.version;
  return precondition.kind === "content-root" ? toHex(precondition.root) : null;
}

/**
 * Returns the inode of a target. Undefined if the name is free or a parent is missing or a file.
 */
function inodeAt(change: Change, target: Target): InodeRecord | undefined {
  try {
    return resolve(change, target).inode;
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    if (error.code === "NOT_FOUND" || error.code === "NOT_A_DIRECTORY") return undefined;
    throw error;
  }
}

/**
 * Applies one operation. Returns the new or changed inode; undefined if the operation removed it,
 * or concerns no inode.
 */
function applyOperation(
  change: Change,
  { attempt }: Transact,
  operation: NamespaceOperation,
): InodeRecord | undefined {
  switch (operation.kind) {
    case "make-directory":
      return makeDirectory(change, operation);
    case "create":
      return create(change, operation);
    case "put":
      return put(change, operation);
    case "commit-chunks":
      return commitChunks(change, operation);
    case "rename":
      return rename(change, operation);
    case "copy":
      return copy(change, operation);
    case "restore":
      return restore(change, operation);
    case "unlink":
      unlink(change, operation);
      return undefined;
    case "remove-directory":
      removeDirectory(change, operation);
      return undefined;
    case "remove-tree":
      removeTree(change, operation);
      return undefined;
    case "set-attributes":
      return setAttributes(change, operation);
    case "set-storage-class":
      return setStorageClass(change, operation);
    case "stage":
      stage(change, attempt.sessionId, operation);
      return undefined;
    case "publish":
      return publish(change, attempt.sessionId, operation);
    case "stage-directory":
      return stageDirectory(change, attempt.sessionId, operation);
    case "unstage":
      unstage(change, attempt.sessionId, operation);
      return undefined;
    default:
      return unreachable(operation);
  }
}
