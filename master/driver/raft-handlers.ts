import { raftHello, raftMessages, raftSnapshot } from "../../shared/protocol/raft-api.ts";
import type { Handlers } from "../../shared/wire/rpc.ts";
import type { Driver } from "./driver-options.ts";
import { raftFetchState } from "./fetch-state.ts";

/** Serves the methods of `shared/protocol/raft-api` for `driver`. Before `listen`. */
export function registerRaftHandlers(handlers: Handlers, driver: Driver): void {
  const { service } = driver;
  handlers.onCall(raftHello, async (request) => {
    request.release();
    return service.hello(request.head);
  });
  handlers.onStream(raftMessages, async (request, stream) => {
    request.release();
    await service.messages(request.head, stream);
  });
  handlers.onStream(raftSnapshot, async (request, stream) => {
    request.release();
    await service.snapshot(request.head, stream);
  });
  handlers.onStream(raftFetchState, async (request, stream) => {
    request.release();
    await service.fetchState(request.head, stream);
  });
}
