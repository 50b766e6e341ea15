import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { CommitNotices, isCommitNotice } from "../../../master/driver/commit-notices.ts";
import type { PeerMessage } from "../../../master/raft/messages.ts";
import type { LogIndex, MemberId, Term } from "../../../shared/base/ids.ts";
import { VirtualClock } from "../../support/virtual-clock.ts";

const term = 1 as Term;

function notice(to: number, commit: number): PeerMessage {
  const commitIndex = commit as LogIndex;
  const previous = { index: commitIndex, term };
  const members = { from: 1 as MemberId, to: to as MemberId };
  return { kind: "append-request", ...members, term, previous, entries: [], commitIndex };
}

function makeFixture() {
  const clock = new VirtualClock();
  const sent: PeerMessage[] = [];
  return { clock, sent, notices: new CommitNotices(clock, (messages) => sent.push(...messages)) };
}

describe("delayed commit notices", () => {
  it("are sent after a delay, only the newest to each peer", async () => {
    const { clock, sent, notices } = makeFixture();
    assert.ok(isCommitNotice(notice(2, 5)));
    notices.hold(notice(2, 5));
    notices.hold(notice(2, 6));
    notices.hold(notice(3, 6));
    assert.deepEqual(sent, []);
    await clock.advance(10);
    assert.deepEqual(sent, [notice(2, 6), notice(3, 6)]);
    notices.hold(notice(2, 7));
    await clock.advance(10);
    assert.deepEqual(sent.at(-1), notice(2, 7), "a later notice is delayed and sent too");
  });

  it("keep their full delay after earlier notices were dropped", async () => {
    const { clock, sent, notices } = makeFixture();
    notices.hold(notice(2, 5));
    await clock.advance(3);
    notices.drop(2 as MemberId);
    notices.hold(notice(2, 6));
    await clock.advance(3);
    assert.deepEqual(sent, [], "no notice is sent 3 ms after it was held");
    notices.hold(notice(2, 7));
    await clock.advance(1);
    assert.deepEqual(sent, [notice(2, 7)], "the newest notice is sent 4 ms after the first");
  });

  it("are not sent after entries to the same peer, nor after stop", async () => {
    const { clock, sent, notices } = makeFixture();
    notices.hold(notice(2, 5));
    notices.hold(notice(3, 5));
    notices.drop(2 as MemberId);
    await clock.advance(10);
    assert.deepEqual(sent, [notice(3, 5)]);
    notices.hold(notice(3, 6));
    notices.stop();
    notices.hold(notice(3, 7));
    await clock.advance(10);
    assert.equal(sent.length, 1);
  });
});
