import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Envelope } from "../../../master/driver/peer-handshake.ts";
import { PeerService, type PeerServiceOptions } from "../../../master/driver/peer-service.ts";
import { encodeMessages } from "../../../master/raft/message-encoding.ts";
import type { PeerMessage } from "../../../master/raft/messages.ts";
import { AshlarError } from "../../../shared/base/errors.ts";
import type { ClusterId, MemberId, Term } from "../../../shared/base/ids.ts";
import type { Stream } from "../../../shared/wire/rpc.ts";
import { hasCode } from "../../support/wire-fixture.ts";

const CLUSTER = "d".repeat(32) as ClusterId;
const [OWN, PEER] = [1, 2] as MemberId[] as [MemberId, MemberId];

describe("the message stream of a peer", () => {
  it("releases a received body even if the incarnation is refused after the open", async () => {
    let isOpened = false;
    const incarnations = {
      isCurrent: () => false,
      check: async () => {
        if (isOpened)
          throw new AshlarError("WRONG_IDENTITY", "Cannot accept this incarnation of member 2");
        isOpened = true;
      },
    };
    const own = { clusterId: CLUSTER, memberId: OWN, incarnation: "1".repeat(32), address: "" };
    const delivered: PeerMessage[] = [];
    const deliver = (messages: readonly PeerMessage[]): void => {
      delivered.push(...messages);
    };
    const options = { own, incarnations, deliver } as unknown as PeerServiceOptions;
    const body = encodeMessages([{ kind: "timeout-now", from: PEER, to: OWN, term: 1 as Term }]);
    let heldCount = 1;
    const received = { head: {}, body, release: () => (heldCount -= 1) };
    const stream = { receive: async () => received } as unknown as Stream<never, never>;
    const envelope: Envelope = {
      clusterId: CLUSTER,
      from: PEER,
      to: OWN,
      fromIncarnation: "2".repeat(32),
    };
    const receiving = new PeerService(options).messages(envelope, stream);
    await assert.rejects(receiving, hasCode("WRONG_IDENTITY"));
    assert.equal(heldCount, 0);
    assert.deepEqual(delivered, []);
  });
});
