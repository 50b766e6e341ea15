import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { FeedService } from "../../../master/api/feed-handler.ts";
import type { MasterDeps } from "../../../master/api/leader-context.ts";
import type { WatchMessage } from "../../../shared/protocol/feed-api.ts";
import type { CallContext, Handlers, Stream, StreamHandler } from "../../../shared/wire/rpc.ts";
import { usedHeapBytes } from "../../support/used-heap.ts";
import { VirtualClock } from "../../support/virtual-clock.ts";
import { hasCode } from "../../support/wire-fixture.ts";
import { TestStateMachine } from "../namespace/harness.ts";

const NOTHING = new Uint8Array();
type Watch = StreamHandler<object, object, WatchMessage>;

/** A feed over the state of `machine`, where `waitApplied` says when there may be news. */
function serve(
  machine: TestStateMachine,
  waitApplied: () => Promise<void>,
): { readonly watch: () => Promise<void>; stop(): void } {
  const consensus = { waitApplied, status: () => ({ leaderId: 1 }) };
  const env = { clock: new VirtualClock() };
  const parts = { consensus, env, namespace: () => machine.namespace };
  const feed = new FeedService(parts as unknown as MasterDeps);
  let handler: Watch = async () => {};
  const handlers = {
    onCall: () => {},
    onStream: (_method: unknown, given: unknown) => {
      handler = given as Watch;
    },
  };
  feed.register(handlers as Handlers);
  const stream = { send: async () => {} } as unknown as Stream<WatchMessage, object>;
  const context = { signal: new AbortController().signal } as CallContext;
  const from = { index: machine.index, sequence: 0 };
  const head = { path: new TextEncoder().encode("/"), from, heartbeatMs: 1_000 };
  const watch = (): Promise<void> =>
    handler({ head, body: NOTHING, release: () => {} }, stream, context);
  return { watch, stop: () => feed[Symbol.dispose]() };
}

describe("the feed of a master", () => {
  it("keeps nothing of the looks of a watcher that stays", async () => {
    const looks = 20_000;
    let looksLeft = looks;
    let heapBefore = 0;
    let noteIdle = (): void => {};
    const idle = new Promise<void>((resolve) => {
      noteIdle = resolve;
    });
    const served = serve(await TestStateMachine.make(), () => {
      if (looksLeft === looks) heapBefore = usedHeapBytes();
      looksLeft -= 1;
      if (looksLeft > 0) return Promise.resolve();
      noteIdle();
      return new Promise(() => {});
    });
    const watching = served.watch();
    watching.catch(() => {});
    await idle;
    const grownBytes = usedHeapBytes() - heapBefore;
    assert.ok(grownBytes < 100 * looks, `${Math.round(grownBytes / looks)} bytes a look`);
    served.stop();
    await assert.rejects(watching, hasCode("UNAVAILABLE"));
  });
});
