import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { IncarnationRegister } from "../../../master/driver/member-storage.ts";
import {
  checkSender,
  type Envelope,
  type OwnIdentity,
} from "../../../master/driver/peer-handshake.ts";
import { isAshlarError } from "../../../shared/base/errors.ts";
import type { ClusterId, MemberId } from "../../../shared/base/ids.ts";

const clusterId = "d".repeat(32) as ClusterId;
const [OWN, PEER] = [1, 2] as MemberId[] as [MemberId, MemberId];
const FIRST = `${"1".repeat(32)}/${"a".repeat(32)}`;
const OTHER_ID = `${"2".repeat(32)}/${"a".repeat(32)}`;
const OTHER_BACKUP = `${"1".repeat(32)}/${"b".repeat(32)}`;
const NEVER_RESTORED = "";

/**
 * Shows a member with the history `own` a peer with the history `shown`.
 *
 * @returns whether the member accepts it
 */
async function isAccepted(own: string | undefined, shown: string | undefined): Promise<boolean> {
  let isRecorded = false;
  const incarnations = {
    check: async () => {
      isRecorded = true;
    },
  } as unknown as IncarnationRegister;
  const identity: OwnIdentity = {
    ...{ clusterId, memberId: OWN, incarnation: "1".repeat(32), address: "" },
    origin: () => own,
  };
  const envelope: Envelope = {
    ...{ clusterId, from: PEER, to: OWN, fromIncarnation: "2".repeat(32), origin: shown },
  };
  try {
    await checkSender(identity, incarnations, envelope);
  } catch (error) {
    assert.ok(isAshlarError(error, "WRONG_IDENTITY"));
    assert.ok(!isRecorded, "the incarnation of a refused peer is not recorded");
    return false;
  }
  assert.ok(isRecorded);
  return true;
}

describe("a member", () => {
  it("refuses a peer whose state belongs to another restore, or to none, and does not record it", async () => {
    const others = [FIRST, OTHER_ID, OTHER_BACKUP, NEVER_RESTORED];
    for (const own of others) {
      for (const shown of others) {
        assert.equal(await isAccepted(own, shown), own === shown);
      }
    }
  });

  it("accepts a peer without a state, one of an older version, and each peer before it has a state", async () => {
    for (const own of [FIRST, NEVER_RESTORED]) {
      assert.ok(await isAccepted(own, undefined));
      assert.ok(await isAccepted(undefined, own));
    }
  });
});
