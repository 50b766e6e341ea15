import type { Context } from "koa";
import { AshlarError, isAshlarError } from "../../shared/base/errors.ts";
import { pathErrorMessage } from "../../shared/base/path-errors.ts";
import type { FileSystem } from "../file-system.ts";
import type { Attributes } from "../index.ts";
import type { GatewayConfig } from "./config.ts";
import type { RequestPath } from "./request-path.ts";
import type { RequestScope } from "./request-scope.ts";
import type { TransferDirection, TransferSlot } from "./transfer-slots.ts";

/** The part of the client library that the gateway uses. */
export type GatewayFiles = Pick<
  FileSystem,
  | "lastIndex"
  | "stat"
  | "listPage"
  | "open"
  | "writeFile"
  | "mkdir"
  | "unlink"
  | "rmdir"
  | "removeTree"
  | "transact"
  | "status"
>;

/** One request for a path below /files, and what its handler needs. */
export interface GatewayRequest {
  readonly context: Context;
  readonly files: GatewayFiles;
  readonly config: GatewayConfig;
  readonly path: RequestPath;
  readonly query: URLSearchParams;
  readonly scope: RequestScope;
  /**
   * Resolves with a slot to transfer a body, which is released when the request ends: see
   * `TransferSlots`.
   *
   * @throws {AshlarError} OVERLOADED
   */
  readonly beginTransfer: (direction: TransferDirection) => Promise<TransferSlot>;
  /** Runs a task that reads a whole directory. Only a few run at the same time. */
  readonly runScan: <Result>(scan: () => Promise<Result>) => Promise<Result>;
  /** Adds to the metric of transferred bytes. */
  readonly countBytes: (direction: "in" | "out", bytes: number) => void;
}

/**
 * Returns the value of a flag in the query. `?name`, `?name=true` and `?name=1` are true.
 *
 * @throws {AshlarError} INVALID_ARGUMENT
 */
export function queryFlag({ query }: GatewayRequest, name: string): boolean {
  const values = query.getAll(name);
  const [value] = values;
  if (values.length < 2) {
    if (value === undefined || value === "false" || value === "0") return false;
    if (value === "" || value === "true" || value === "1") return true;
  }
  throw new AshlarError(
    "INVALID_ARGUMENT",
    `Cannot use ?${name}: expected one value, true or false: current value is "${values.join().slice(0, 100)}"`,
  );
}

/** Resolves with the attributes of the path; null if it does not exist. */
export async function statOrNull({
  files,
  path,
  scope,
}: GatewayRequest): Promise<Attributes | null> {
  try {
    return await files.stat(path.bytes, { signal: scope.signal });
  } catch (error) {
    if (isAshlarError(error, "NOT_FOUND")) return null;
    throw error;
  }
}

/**
 * Refuses the URL of a file that ends with a slash, as path_resolution(7) does.
 *
 * @throws {AshlarError} NOT_A_DIRECTORY
 */
export function refuseSlashAfterFile({ path }: GatewayRequest, kind: Attributes["kind"]): void {
  if (!path.hasTrailingSlash || kind === "directory") return;
  throw new AshlarError("NOT_A_DIRECTORY", pathErrorMessage("NOT_A_DIRECTORY", path.text), {
    hint: 'The path is a file: use the URL without the "/" at the end',
  });
}

/** Returns the PRECONDITION_FAILED error of a request whose conditions are not met. */
export function preconditionFailed({ context, path }: GatewayRequest): AshlarError {
  return new AshlarError(
    "PRECONDITION_FAILED",
    `Cannot ${context.method} ${path.text}: the current version does not meet the conditions of the request`,
    { hint: "Read the path again for its current version" },
  );
}
