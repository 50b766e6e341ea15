import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { FeedService } from "../../../master/api/feed-handler.ts";
import type { MasterDeps } from "../../../master/api/leader-context.ts";
import type { WatchMessage } from "../../../shared/protocol/feed-api.ts";
import type { Handlers, Stream, StreamHandler } from "../../../shared/wire/rpc.ts";
import { CallContexts } from "../../support/call-contexts.ts";
import { usedHeapBytes } from "../../support/used-heap.ts";
import { VirtualClock } from "../../support/virtual-clock.ts";
import { hasCode } from "../../support/wire-fixture.ts";
import { TestStateMachine } from "../namespace/harness.ts";

const NO_BODY = new Uint8Array();
type Watch = StreamHandler<object, object, WatchMessage>;

/** Serves a feed over the state of `machine`. `waitApplied` resolves when new events may exist. */
function serve(
  machine: TestStateMachine,
  waitApplied: () => Promise<void>,
): { readonly watch: () => Promise<void>; stop(): void } {
  const consensus = { waitApplied, status: () => ({ leaderId: 1 }) };
  const clock = Object.assign(new VirtualClock(), { sleep: async () => {} }); // The pauses of the hub.
  const env = { clock };
  const deps = { consensus, env, namespace: () => machine.namespace };
  const feed = new FeedService(deps as unknown as MasterDeps);
  let handler: Watch = async () => {};
  const handlers = {
    onCall: () => {},
    onStream: (_method: unknown, given: unknown) => {
      handler = given as Watch;
    },
  };
  feed.register(handlers as Handlers);
  const stream = { send: async () => {} } as unknown as Stream<WatchMessage, object>;
  const context = new CallContexts(clock).make();
  const from = { index: machine.index, sequence: 0 };
  const head = { path: new TextEncoder().encode("/"), from, heartbeatMs: 1_000 };
  const watch = (): Promise<void> =>
    handler({ head, body: NO_BODY, release: () => {} }, stream, context);
  return { watch, stop: () => feed[Symbol.dispose]() };
}

describe("the feed of a master", () => {
  it("retains no memory for the reads of a watcher that stays connected", async () => {
    const reads = 20_000;
    let readsLeft = reads;
    let heapBefore = 0;
    let noteIdle = (): void => {};
    const idle = new Promise<void>((resolve) => {
      noteIdle = resolve;
    });
    const served = serve(await TestStateMachine.make(), () => {
      if (readsLeft === reads) heapBefore = usedHeapBytes();
      readsLeft -= 1;
      if (readsLeft > 0) return Promise.resolve();
      noteIdle();
      return new Promise(() => {});
    });
    const watching = served.watch();
    watching.catch(() => {});
    await idle;
    const grownBytes = usedHeapBytes() - heapBefore;
    assert.ok(
      grownBytes < 100 * reads,
      `the heap grew by ${Math.round(grownBytes / reads)} bytes per read`,
    );
    served.stop();
    await assert.rejects(watching, hasCode("UNAVAILABLE"));
  });
});
