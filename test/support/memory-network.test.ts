import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Link } from "../../shared/ports/network.ts";
import { MemoryNetwork } from "./memory-network.ts";
import { ProcessClock } from "./process-clock.ts";
import { VirtualClock } from "./virtual-clock.ts";

const CONNECT_OPTIONS = { timeoutMs: 1_000 };

/** Opens a link from "a" to "b". Records the bytes and the close at each end. */
async function connected() {
  const clock = new VirtualClock();
  const reached: string[] = [];
  const onReceive = (host: string, from: string): void => {
    reached.push(`${host} by ${from}`);
  };
  const network = new MemoryNetwork({ clock, delayMs: () => 1, onReceive });
  const process = new ProcessClock(clock);
  const seen = { bytes: 0, nearEnd: "", farEnd: "" };
  const start = (link: Link, onClosed: (error: Error | null) => void): void => {
    const buffer = new Uint8Array(1_000);
    const onBytes = (count: number): void => {
      seen.bytes += count;
    };
    link.start({ buffer: () => buffer, onBytes, onClosed });
  };
  await network.host("b", process).listen("b:1", (link) => {
    start(link, (error) => {
      seen.farEnd = error?.message ?? "end";
    });
  });
  const opening = network.host("a").connect("b:1", CONNECT_OPTIONS);
  const link = await clock.advanceFor(opening, "the link");
  start(link, (error) => {
    seen.nearEnd = error?.message ?? "end";
  });
  return { clock, network, process, link, seen, reached };
}

describe("MemoryNetwork", () => {
  it("resets the links of a killed process, and refuses a new one", async () => {
    const { clock, network, seen } = await connected();
    network.kill("b");
    await clock.advance(10);
    assert.deepEqual(seen, { bytes: 0, nearEnd: "ECONNRESET", farEnd: "" });
    const again = network.host("a").connect("b:1", CONNECT_OPTIONS);
    await assert.rejects(clock.advanceFor(again, "the refusal"), { code: "UNAVAILABLE" });
  });

  it("reports no close after a power failure until the host boots", async () => {
    const { clock, network, seen } = await connected();
    network.crash("b");
    await clock.advance(60_000);
    assert.equal(seen.nearEnd, "");
    network.boot("b");
    await clock.advance(10);
    assert.deepEqual(seen, { bytes: 0, nearEnd: "ECONNRESET", farEnd: "" });
  });

  it("reports the host that receives a link or bytes, and the sender", async () => {
    const { clock, link, reached } = await connected();
    assert.deepEqual(reached, ["b by a"], "a new link");
    await clock.advanceFor(link.write([new Uint8Array(10)]), "the write");
    assert.deepEqual(reached, ["b by a"], "the bytes are in transit");
    await clock.advance(10);
    assert.deepEqual(reached, ["b by a", "b by a"]);
  });

  it("buffers bytes for a paused process, and delivers them after the resume", async () => {
    const { clock, network, process, link, seen } = await connected();
    process.freeze();
    network.freeze("b");
    await clock.advanceFor(link.write([new Uint8Array(10)]), "the write");
    await clock.advance(5_000);
    assert.equal(seen.bytes, 0);
    process.thaw();
    network.thaw("b");
    await clock.advance(10);
    assert.equal(seen.bytes, 10);
  });
});
