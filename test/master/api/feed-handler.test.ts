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
): {
  readonly clock: VirtualClock;
  readonly contexts: CallContexts;
  readonly watch: (path?: string, peerAddress?: string) => Promise<void>;
  stop(): void;
} {
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
  const contexts = new CallContexts(clock);
  const from = { index: machine.index, sequence: 0 };
  const watch = (path = "/", peerAddress = "client:1"): Promise<void> => {
    const head = { path: new TextEncoder().encode(path), from, heartbeatMs: 1_000 };
    const context = Object.assign(contexts.makeCall(), { peerAddress });
    return handler({ head, body: NO_BODY, release: () => {} }, stream, context);
  };
  return { clock, contexts, watch, stop: () => feed[Symbol.dispose]() };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

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

  it("bounds the watches of a connection and of all by the bytes of their paths", async () => {
    const served = serve(await TestStateMachine.make(), () => new Promise(() => {}));
    const path = "/ab".repeat(21_000);
    const counts = { watching: 0, OVERLOADED: 0, UNAVAILABLE: 0 };
    const open = (peerAddress: string): void => {
      counts.watching += 1;
      served.watch(path, peerAddress).catch(({ code }: { code: keyof typeof counts }) => {
        counts.watching -= 1;
        counts[code] += 1;
      });
    };
    for (let each = 0; each < 400; each += 1) open("client:1");
    await turn();
    const assertAbout = (bytesMax: number): void => {
      const bytes = counts.watching * path.length;
      assert.ok(bytes <= bytesMax && bytes > 0.9 * bytesMax, `${counts.watching} watches`);
    };
    assertAbout(16 * 2 ** 20);
    assert.equal(counts.OVERLOADED, 400 - counts.watching);
    for (let each = 0; each < 3_000; each += 1) open(`client:${2 + Math.floor(each / 200)}`);
    await turn();
    assertAbout(128 * 2 ** 20);
    served.stop();
    for (let each = 0; each < 10; each += 1) await turn();
    assert.equal(counts.watching, 0);
  });

  it("reads the path of a watch in a turn of its own", async () => {
    const served = serve(await TestStateMachine.make(), () => new Promise(() => {}));
    assert.ok(served.contexts.slices.tryBegin());
    let isParsed = false;
    const watching = served.watch("relative");
    watching.catch(() => {
      isParsed = true;
    });
    for (let each = 0; each < 10; each += 1) await Promise.resolve();
    assert.ok(!isParsed, "another part runs in this turn");
    await assert.rejects(watching, hasCode("INVALID_ARGUMENT"));
  });
});
