import type { Handlers } from "../../shared/wire/rpc.ts";
import type { Driver } from "./driver-options.ts";

/** Serves the methods of `shared/protocol/raft-api` for `driver`. Before `listen`. */
export function registerRaftHandlers(_handlers: Handlers, _driver: Driver): void {}
