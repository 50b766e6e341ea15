import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  evaluateHealth,
  type HealthFacts,
  type ServerFacts,
} from "../../../master/placement/evaluate-health.ts";
import type { MemberId, ServerId } from "../../../shared/base/ids.ts";

function server(number: number, facts: Partial<ServerFacts> = {}): ServerFacts {
  return {
    serverId: String(number).repeat(32) as ServerId,
    address: `10.0.0.${number}:7410`,
    liveness: "live",
    silentMs: 100,
    isDiskFailed: false,
    unreadableCount: 0,
    isFull: false,
    ...facts,
  };
}

const WHOLE: HealthFacts = {
  mastersTotal: 3,
  mastersReachable: 3,
  clocks: [1, 2, 3].map((id) => ({ memberId: id as MemberId, aheadMs: 0 })),
  refused: [],
  disksFull: [],
  timeAheadMs: 0,
  servers: [server(1), server(2), server(3)],
  settling: null,
  chunksUnderReplicated: 0,
  chunksLost: 0,
  isScanComplete: true,
  copiesMin: 2,
  isMassLoss: false,
};
const UNHEARD = { liveness: "suspect", silentMs: null } as const;
const MASTER_2 = { memberId: 2 as MemberId, address: "10.0.1.2:7400" };
const LOG_FAILED = "Cannot append to the log: no space left on device";
const STATE_FULL = "the disk of the state is full";
const NAME_3 = "chunkserver 33333333 (10.0.0.3:7410)";
const FULL =
  "the cluster is full: 1 of 3 chunkservers has space for another chunk, a write needs at least 2; " +
  "add a chunkserver, or remove files and free the space that the history keeps for them: " +
  "ashlar history trim";

const CASES: ReadonlyArray<{
  readonly name: string;
  readonly facts: Partial<HealthFacts>;
  readonly word: string;
  readonly reasons: readonly string[];
}> = [
  { name: "nothing is missing", facts: {}, word: "ok", reasons: [] },
  {
    name: "a chunkserver is refused",
    facts: { servers: [server(1), server(2), server(3, { liveness: "refused", silentMs: null })] },
    word: "degraded",
    reasons: [
      `all chunks have their copies; ${NAME_3} is refused because it has not enrolled (ashlar server token)`,
    ],
  },
  {
    name: "a master runs and does not follow the leader",
    facts: { refused: [{ memberId: 2 as MemberId, forMs: 61_000, reason: "expected this" }] },
    word: "degraded",
    reasons: [
      "master 2 does not follow the leader for 61 s: expected this; " +
        "stop it and keep its data directory, which can be the only one with some acknowledged changes: " +
        'docs/operations.md, "A master does not follow the leader"',
    ],
  },
  {
    name: "the log of a master has failed because its disk is full",
    facts: { disksFull: [{ ...MASTER_2, kind: "log", reason: LOG_FAILED, isLeader: false }] },
    word: "degraded",
    reasons: [
      `master 2 (10.0.1.2:7400) takes no part, because the disk of its log is full: ${LOG_FAILED}; free space and restart it`,
    ],
  },
  {
    name: "the disk of the state of a follower is full",
    facts: { disksFull: [{ ...MASTER_2, kind: "state", reason: STATE_FULL, isLeader: false }] },
    word: "degraded",
    reasons: [
      "the disk of the state of master 2 (10.0.1.2:7400) is full: it refuses every change when it leads; free space",
    ],
  },
  {
    name: "the disk of the state of the leader is full, so that it refuses every change",
    facts: { disksFull: [{ ...MASTER_2, kind: "state", reason: STATE_FULL, isLeader: true }] },
    word: "critical",
    reasons: [
      "every change is refused: the disk of the state of the leader, master 2 (10.0.1.2:7400), is full; free space",
    ],
  },
  {
    name: "the clock of a master is off by more than a second",
    facts: {
      clocks: [
        { memberId: 1 as MemberId, aheadMs: 1_000 },
        { memberId: 2 as MemberId, aheadMs: 10 * 365 * 86_400_000 },
        { memberId: 3 as MemberId, aheadMs: -1_001 },
      ],
    },
    word: "degraded",
    reasons: [
      "the clock of master 2 is 3650 d ahead of the other masters",
      "the clock of master 3 is 1 s behind the other masters",
    ],
  },
  {
    name: "entries were stamped in the future",
    facts: { timeAheadMs: 3_600_000 },
    word: "degraded",
    reasons: [
      "the time of the cluster is 60 min ahead of the clocks of the masters: ashlar cluster reset-clock",
    ],
  },
  {
    name: "a new leader has a heartbeat of no chunkserver",
    facts: {
      servers: [server(1, UNHEARD), server(2, UNHEARD), server(3, UNHEARD)],
      settling: { leaderForMs: 1_400, heardCount: 0 },
      chunksLost: 5,
    },
    word: "degraded",
    reasons: ["new leader for 1 s, waiting for heartbeats: 0 of 3 chunkservers have sent one"],
  },
  {
    name: "a new leader waits for the heartbeat of one chunkserver",
    facts: {
      servers: [server(1), server(2), server(3, UNHEARD)],
      settling: { leaderForMs: 3_000, heardCount: 2 },
    },
    word: "degraded",
    reasons: ["new leader for 3 s, waiting for heartbeats: 2 of 3 chunkservers have sent one"],
  },
  {
    name: "a chunkserver has never sent a heartbeat to a leader that is not new",
    facts: { servers: [server(1), server(2), server(3, { liveness: "dead", silentMs: null })] },
    word: "degraded",
    reasons: [
      `all chunks have their copies; ${NAME_3} is down since before the leader was elected`,
    ],
  },
  {
    name: "a chunkserver is down and repair is complete",
    facts: { servers: [server(1), server(2), server(3, { liveness: "dead", silentMs: 32_900 })] },
    word: "degraded",
    reasons: [`all chunks have their copies; ${NAME_3} is down for 32 s`],
  },
  {
    name: "a chunkserver is down and its chunks are not counted yet",
    facts: {
      servers: [server(1), server(2), server(3, { liveness: "dead", silentMs: 240_000 })],
      isScanComplete: false,
    },
    word: "degraded",
    reasons: [`${NAME_3} is down for 4 min`],
  },
  {
    name: "servers, copies and a master are missing and all data is readable",
    facts: {
      mastersReachable: 2,
      servers: [
        server(1),
        server(2),
        server(3, { liveness: "suspect", silentMs: 4_000 }),
        server(4, { liveness: "stopped", silentMs: 9_000_000 }),
      ],
      chunksUnderReplicated: 1,
    },
    word: "degraded",
    reasons: [
      "1 of 3 masters unreachable",
      `${NAME_3} has been silent for 4 s`,
      "chunkserver 44444444 (10.0.0.4:7410) was stopped 2 h ago",
      "1 chunk with too few copies",
    ],
  },
  {
    name: "many chunkservers are down",
    facts: {
      servers: [1, 2, 3, 4, 5, 6].map((number) =>
        server(number, number > 2 ? { liveness: "dead", silentMs: 60_000 } : {}),
      ),
      chunksUnderReplicated: 2,
      isMassLoss: true,
    },
    word: "critical",
    reasons: [
      "many chunkservers are dead at once: repair is halted",
      "4 of 6 chunkservers not live",
      "2 chunks with too few copies",
    ],
  },
  {
    name: "a disk has failed",
    facts: { servers: [server(1), server(2), server(3, { isDiskFailed: true })] },
    word: "degraded",
    reasons: ["1 chunkserver with a failed disk"],
  },
  {
    name: "disks cannot read some copies",
    facts: {
      servers: [server(1), server(2, { unreadableCount: 1 }), server(3, { unreadableCount: 12 })],
    },
    word: "degraded",
    reasons: ["13 copies on 2 chunkservers that the disk cannot read"],
  },
  {
    name: "too few servers can store chunks",
    facts: {
      servers: [server(1), server(2, { isDiskFailed: true }), server(3, { isDiskFailed: true })],
    },
    word: "critical",
    reasons: [
      "only 1 chunkserver without a failed disk: a write needs at least 2",
      "2 chunkservers with a failed disk",
    ],
  },
  {
    name: "one server is full and enough others are not",
    facts: { servers: [server(1), server(2), server(3, { isFull: true })] },
    word: "ok",
    reasons: [],
  },
  {
    name: "too few servers have space",
    facts: { servers: [server(1), server(2, { isFull: true }), server(3, { isFull: true })] },
    word: "critical",
    reasons: [FULL],
  },
  {
    name: "data cannot be read",
    facts: { chunksLost: 1 },
    word: "critical",
    reasons: ["1 chunk without a live copy"],
  },
  {
    name: "a write is impossible",
    facts: { servers: [server(1)] },
    word: "critical",
    reasons: ["only 1 live chunkserver: a write needs at least 2"],
  },
];

describe("health of the cluster", () => {
  for (const { name, facts, word, reasons } of CASES) {
    it(`is ${word} if ${name}`, () => {
      const health = evaluateHealth({ ...WHOLE, ...facts });
      assert.deepEqual(health, { word, reasons, isFull: reasons.includes(FULL) });
    });
  }
});
