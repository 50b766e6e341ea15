import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { registerNamespaceHandlers } from "../../../master/api/namespace-handlers.ts";
import { list, type ReadMode } from "../../../shared/protocol/namespace-api.ts";
import type { CallHandler, Handlers } from "../../../shared/wire/rpc.ts";
import { CallContexts } from "../../support/call-contexts.ts";
import { VirtualClock } from "../../support/virtual-clock.ts";
import { CLIENT, hasCode } from "../../support/wire-fixture.ts";
import { at, TestStateMachine } from "../namespace/harness.ts";

/** Lists the root directory at a leader over the state of `machine`. */
function listRoot(machine: TestStateMachine, read: ReadMode): Promise<unknown> {
  const clock = new VirtualClock();
  const handlers = new Map<string, CallHandler<unknown, unknown>>();
  const onCall = (method: { readonly name: string }, handler: never) =>
    handlers.set(method.name, handler);
  const consensus = {
    status: () => ({ role: "leader", isReady: true, term: 1 }),
    confirmRead: async () => machine.index,
    waitApplied: async () => {},
  };
  const deps = { consensus, namespace: () => machine.namespace, env: { clock } };
  registerNamespaceHandlers({ onCall, onStream: onCall } as unknown as Handlers, deps as never);
  const head = { target: at("/"), read, limit: 10 };
  const handler = handlers.get(list.name) as CallHandler<unknown, unknown>;
  const request = { head, body: new Uint8Array(), release: () => {} };
  return Promise.resolve(handler(request as never, new CallContexts(clock).make(CLIENT)));
}

describe("a read before the first leader has created the cluster", () => {
  const modes: readonly ReadMode[] = [
    { kind: "linearizable" },
    { kind: "session", index: 0 as never },
    { kind: "stale" },
  ];
  for (const mode of modes) {
    it(`does not say that the root directory is missing: ${mode.kind}`, async () => {
      const machine = await TestStateMachine.empty();
      await assert.rejects(listRoot(machine, mode), hasCode("NO_LEADER"));
      const founded = await TestStateMachine.make();
      assert.deepEqual(((await listRoot(founded, mode)) as { entries: unknown }).entries, []);
    });
  }
});
