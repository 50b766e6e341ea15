import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Link } from "../../../shared/ports/network.ts";
import { FrameWriter } from "../../../shared/wire/frame-writer.ts";

/** A link that records the size of every write. */
function recordingWriter() {
  const writes: number[] = [];
  const link: Link = {
    peerAddress: "m1:7000",
    start: () => {},
    write: (parts) => {
      writes.push(parts.reduce((sum, part) => sum + part.length, 0));
      return Promise.resolve();
    },
    pause: () => {},
    resume: () => {},
    close: () => {},
    destroy: () => {},
  };
  const onFailed = (error: unknown): void => assert.ifError(error);
  const hold = (flush: () => void): void => flush();
  return { writes, writer: new FrameWriter(link, { onFailed, hold }) };
}

const outgoing = { frame: new Uint8Array(10), body: null, onSettled: null };
const nextEvent = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe("FrameWriter", () => {
  it("writes the frames of one event together", async () => {
    const { writes, writer } = recordingWriter();
    writer.send(outgoing);
    await Promise.resolve();
    writer.send(outgoing);
    assert.deepEqual(writes, [], "no write happens during the event");
    await nextEvent();
    assert.deepEqual(writes, [20]);
  });

  it("writes immediately on a flush, and writes every frame once", async () => {
    const { writes, writer } = recordingWriter();
    writer.send(outgoing);
    writer.send(outgoing);
    writer.flush();
    assert.deepEqual(writes, [20]);
    writer.send(outgoing);
    await nextEvent();
    assert.deepEqual(writes, [20, 10]);
  });
});
