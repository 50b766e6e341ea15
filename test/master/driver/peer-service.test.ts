import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Envelope } from "../../../master/driver/peer-handshake.ts";
import { PeerService, type PeerServiceOptions } from "../../../master/driver/peer-service.ts";
import type { BackupStream } from "../../../master/driver/serve-backup.ts";
import { encodeMessages } from "../../../master/raft/message-encoding.ts";
import type { PeerMessage } from "../../../master/raft/messages.ts";
import { AshlarError } from "../../../shared/base/errors.ts";
import type { ClusterId, MemberId, Term } from "../../../shared/base/ids.ts";
import type { Stream } from "../../../shared/wire/rpc.ts";
import { VirtualClock } from "../../support/virtual-clock.ts";
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
    const founding = { isOpen: true, noteMessages: () => {} };
    const options = { own, incarnations, founding, deliver } as unknown as PeerServiceOptions;
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

describe("the messages to an empty founder that does not take part yet", () => {
  it("are kept of the other founders only, and delivered when it takes part", async () => {
    const own = { clusterId: CLUSTER, memberId: OWN, incarnation: "1".repeat(32), address: "" };
    const delivered: number[] = [];
    const founding = {
      isOpen: false,
      founders: [OWN, PEER],
      reason: "waits for all founders: member 3: no answer",
      noteMessages: () => {},
    };
    const options = {
      ...{ own, founding, incarnations: { check: async () => {} } },
      deliver: (messages: readonly PeerMessage[]) => {
        for (const { from } of messages) delivered.push(from);
      },
    } as unknown as PeerServiceOptions;
    const service = new PeerService(options);
    const envelopeOf = (from: MemberId): Envelope => ({
      ...{ clusterId: CLUSTER, from, to: OWN, fromIncarnation: "2".repeat(32) },
    });
    for (let id = PEER as number; id < 100; id += 1) {
      const from = id as MemberId;
      const body = encodeMessages([{ kind: "timeout-now", from, to: OWN, term: 1 as Term }]);
      const received = [{ head: {}, body, release: () => {} }];
      const stream = { receive: async () => received.pop() ?? null, end: () => {} };
      await service.messages(envelopeOf(from), stream as unknown as Stream<never, never>);
    }
    await assert.rejects(service.snapshot(envelopeOf(PEER) as never, {} as never), {
      code: "UNAVAILABLE",
      message: `Cannot take part in the group: this master ${founding.reason}`,
    });
    founding.isOpen = true;
    await service.deliverHeld();
    assert.deepEqual(delivered, [PEER]);
  });
});

describe("the backups of a member", () => {
  it("are limited, and do not keep places once they have ended", async () => {
    const own = { clusterId: CLUSTER, memberId: OWN, incarnation: "1".repeat(32), address: "" };
    const releases: (() => void)[] = [];
    const machine = () => ({
      openSnapshot: () => ({ index: 1, term: 1, stateHash: new Uint8Array(32), release: () => {} }),
    });
    const clock = new VirtualClock();
    const options = { own, machine, clock, stallMs: 1_000 } as unknown as PeerServiceOptions;
    const service = new PeerService(options);
    // The receiver of a backup does not read: its first message waits until the test ends it.
    const begin = (): Promise<void> => {
      const send = (): Promise<never> =>
        new Promise((_resolve, reject) => {
          releases.push(() => reject(new AshlarError("CANCELLED", "The receiver has gone")));
        });
      const stream = { send, cancel: () => {}, end: () => {} } as unknown as BackupStream;
      const headFields = { clusterId: CLUSTER, featureLevel: 1 };
      return service.backup(stream, { headFields, turn: async () => {} });
    };
    const running = Array.from({ length: 16 }, begin);
    await assert.rejects(begin(), hasCode("OVERLOADED"));
    releases[0]?.();
    await assert.rejects(running[0] as Promise<void>, hasCode("CANCELLED"));
    const next = begin();
    for (const release of releases) release();
    for (const backup of [next, ...running]) await assert.rejects(backup, hasCode("CANCELLED"));
  });
});
