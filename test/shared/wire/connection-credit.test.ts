import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ConnectionCredit } from "../../../shared/wire/connection-credit.ts";

function makeCredit(windowBytes: number): ConnectionCredit {
  const credit = new ConnectionCredit({
    receiveWindowBytes: windowBytes,
    sendGrant: () => {},
    flushStreams: () => {},
  });
  credit.open(windowBytes);
  return credit;
}

describe("ConnectionCredit", () => {
  it("serves the waiting streams in turn, even if each has more to send", () => {
    const credit = makeCredit(100);
    const turns: string[] = [];
    const waiters = ["a", "b", "c"].map((name) => ({
      pump(): void {
        turns.push(name);
        credit.spend(credit.sendBytes); // Takes all credit, and has more to send.
        credit.wait(this);
      },
    }));
    credit.spend(100);
    for (const waiter of waiters) credit.wait(waiter);
    for (let round = 0; round < 7; round += 1) credit.add(10);
    assert.deepEqual(turns, ["a", "b", "c", "a", "b", "c", "a"]);
  });

  it("sends as much as the peer has room for, with any window of its own", () => {
    const credit = makeCredit(100);
    credit.open(2 ** 40);
    assert.equal(credit.sendBytes, 2 ** 40);
    credit.open(30);
    assert.equal(credit.sendBytes, 30);
  });

  it("keeps back at most 64 KiB of the credit of closed streams, however large the window is", () => {
    const grants: number[] = [];
    const credit = new ConnectionCredit({
      receiveWindowBytes: 1 << 30,
      sendGrant: (streamId, bytes) => grants.push(streamId, bytes),
      flushStreams: () => {},
    });
    credit.grantOrphaned(64 * 1024 - 1);
    assert.deepEqual(grants, []);
    credit.grantOrphaned(1);
    assert.deepEqual(grants, [0, 64 * 1024]);
  });

  it("refuses more credit than was spent", () => {
    const credit = makeCredit(100);
    credit.spend(150);
    assert.equal(credit.add(100), true);
    assert.equal(credit.add(51), false);
    assert.equal(credit.sendBytes, 50);
  });
});
