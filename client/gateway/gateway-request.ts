import type { Context } from "koa";
import { AshlarError } from "../../shared/base/errors.ts";
import type { FileSystem } from "../file-system.ts";
import type { GatewayConfig } from "./config.ts";
import type { RequestPath } from "./request-path.ts";
import type { RequestScope } from "./request-scope.ts";

/** The methods of the client library that the gateway uses. */
export type GatewayFiles = Pick<
  FileSystem,
  | "stat"
  | "list"
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
  readonly scope: RequestScope;
  /** Reserves a slot to transfer a body: see `TransferSlots`. @throws {AshlarError} OVERLOADED */
  readonly beginTransfer: () => void;
  /** Adds to the metric of transferred bytes. */
  readonly countBytes: (direction: "in" | "out", bytes: number) => void;
}

/**
 * Returns the value of a flag in the query. `?name`, `?name=true` and `?name=1` are true.
 *
 * @throws {AshlarError} INVALID_ARGUMENT
 */
export function queryFlag(context: Context, name: string): boolean {
  const value = context.query[name];
  if (value === undefined || value === "false" || value === "0") return false;
  if (value === "" || value === "true" || value === "1") return true;
  throw new AshlarError(
    "INVALID_ARGUMENT",
    `Cannot use ?${name}: expected true or false: current value is "${String(value).slice(0, 100)}"`,
  );
}

/** Returns the PRECONDITION_FAILED error of a request whose conditions are not met. */
export function preconditionFailed({ context, path }: GatewayRequest): AshlarError {
  return new AshlarError(
    "PRECONDITION_FAILED",
    `Cannot ${context.method} ${path.text}: the current version does not meet the conditions of the request`,
    { hint: "Read the path again for its current version" },
  );
}
