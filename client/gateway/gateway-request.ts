import type { Context } from "koa";
import { AshlarError } from "../../shared/base/errors.ts";
import type { FileSystem } from "../file-system.ts";
import type { GatewayConfig } from "./config.ts";
import type { RequestPath } from "./request-path.ts";
import type { RequestScope } from "./request-scope.ts";

/** What the gateway asks of the client library. */
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

/** One request for a path below /files. */
export interface GatewayRequest {
  readonly context: Context;
  readonly files: GatewayFiles;
  readonly config: GatewayConfig;
  readonly path: RequestPath;
  readonly scope: RequestScope;
  /** Takes a slot for a body; see `TransferSlots`. */
  readonly beginTransfer: () => void;
  readonly countBytes: (direction: "in" | "out", bytes: number) => void;
}

/** `?name`, `?name=true` and `?name=1` are true. @throws {AshlarError} INVALID_ARGUMENT */
export function queryFlag(context: Context, name: string): boolean {
  const value = context.query[name];
  if (value === undefined || value === "false" || value === "0") return false;
  if (value === "" || value === "true" || value === "1") return true;
  throw new AshlarError(
    "INVALID_ARGUMENT",
    `Cannot use ?${name}: expected true or false: got "${String(value).slice(0, 100)}"`,
  );
}

/** @throws {AshlarError} PRECONDITION_FAILED */
export function preconditionFailed({ context, path }: GatewayRequest): AshlarError {
  return new AshlarError(
    "PRECONDITION_FAILED",
    `Cannot ${context.method} ${path.text}: what is there is not what the request expects`,
    { hint: "Read it again, then decide" },
  );
}
