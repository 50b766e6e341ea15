import type { Clock } from "../../shared/ports/clock.ts";
import { readBackup } from "../../shared/protocol/backup-api.ts";
import { raftHello, raftMessages, raftSnapshot } from "../../shared/protocol/raft-api.ts";
import type { Handlers } from "../../shared/wire/rpc.ts";
import type { StateMachine } from "../state-machine.ts";
import type { Driver } from "./driver.ts";
import { raftFetchState } from "./fetch-state.ts";
import { type ServeBackupOptions, waitDurable } from "./serve-backup.ts";

/** Timeout for confirming and flushing the state of a backup. Longer than a flush interval. */
const READY_TIMEOUT_MS = 30_000;

/**
 * Registers the handlers of `shared/protocol/raft-api` and of `raft.fetch-state`. Call it before
 * `listen`.
 */
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

/**
 * Registers the handler of `shared/protocol/backup-api`. A backup contains every change that was
 * acknowledged before the request.
 *
 * @param options.headFields returns the current fields of the backup's head. Called for each backup
 */
export function registerBackupHandler(
  handlers: Handlers,
  driver: Driver,
  options: { readonly clock: Clock; readonly headFields: () => ServeBackupOptions["headFields"] },
): void {
  const { clock, headFields } = options;
  handlers.onStream(readBackup, async (request, stream, context) => {
    request.release();
    const index = await driver.confirmRead(READY_TIMEOUT_MS);
    const machine = (): StateMachine => driver.stateMachine;
    await waitDurable(machine, index, { clock, timeoutMs: READY_TIMEOUT_MS });
    // Clients share the turns of this member, as in their calls.
    const turn = (): Promise<void> => context.turn();
    await turn();
    await driver.service.backup(stream, { headFields: headFields(), turn });
  });
}
