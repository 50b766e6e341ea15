import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { chunkKeysOf } from "../../../master/api/chunk-keys.ts";
import { PartWork } from "../../../master/api/part-work.ts";
import { verifyOperation } from "../../../master/api/verify-receipts.ts";
import {
  FEATURE_LEVEL_ENROLMENT,
  FEATURE_LEVEL_MAX,
} from "../../../master/namespace/feature-levels.ts";
import { present } from "../../../shared/base/assert.ts";
import type { Digest, LogIndex } from "../../../shared/base/ids.ts";
import { keyOfIndex } from "../../../shared/protocol/chunk-keys.ts";
import {
  changeEnrolment,
  enrolmentStatus,
  JOIN_TOKENS_MAX,
  joinTokenHash,
  joinTokenId,
} from "../../../shared/protocol/enrolment-api.ts";
import { heartbeat } from "../../../shared/protocol/fleet-api.ts";
import { signReceipt } from "../../../shared/protocol/intent.ts";
import { hasCode } from "../../support/wire-fixture.ts";
import {
  at,
  chunkId,
  hasher,
  MIB,
  OWNER,
  raiseTo,
  SECOND_MS,
  serverId,
  TestStateMachine,
} from "../namespace/harness.ts";
import { connectionOf, FLEET_TIMES, FleetLeader, heartbeatOf } from "./fleet-fixture.ts";

const OPERATOR = { role: "client", clusterId: null, name: "operator" } as const;
const NO_PROOF = { credential: null, token: null };

/** A leader of a cluster of the level of enrolments, in which `names` registered before. */
async function leaderOf(...names: string[]): Promise<FleetLeader> {
  const leader = new FleetLeader(await TestStateMachine.make());
  for (const name of names) await leader.register(connectionOf(name), name);
  leader.machine.apply(raiseTo(FEATURE_LEVEL_ENROLMENT));
  return leader;
}

async function addToken(leader: FleetLeader, token: string): Promise<void> {
  const tokenHash = joinTokenHash(hasher, token);
  const change = { kind: "add-token", tokenHash, validMs: SECOND_MS } as const;
  await leader.call(OPERATOR, changeEnrolment, { change });
}

const close = (leader: FleetLeader, isForced = false, rotatesFrom?: number) => {
  const change = { kind: "close" as const, isForced };
  return leader.call(OPERATOR, changeEnrolment, {
    change: rotatesFrom === undefined ? change : { ...change, rotatesFrom },
  });
};

/** Enrols a server: registers it twice, as a chunkserver does. @returns its credential */
async function enrol(leader: FleetLeader, name: string, token: string | null = null) {
  const peer = connectionOf(name);
  const first = await leader.register(peer, name, { proof: { credential: null, token } });
  const credential = present(first.credential, "the leader gives a credential");
  await leader.register(peer, name, { proof: { credential, token: null } });
  return { peer, credential };
}

describe("a join token", () => {
  it("takes no server out of the placement, although a new leader has no proof of them yet", async () => {
    const leader = await leaderOf("one", "two");
    for (const name of ["one", "two"]) await enrol(leader, name);
    await close(leader);
    // A new leader knows the servers from the state, and none has registered with it.
    const next = new FleetLeader(leader.machine);
    await addToken(next, "token");
    for (const name of ["one", "two"]) {
      assert.notEqual(next.registry.liveness(serverId(name)), "stopped");
    }
  });
});

describe("a revoked join token", () => {
  /** Revokes tokens by their ids, or all, while the time goes by. */
  async function revoke(leader: FleetLeader, ids: string[] | null) {
    const change = { kind: "revoke-tokens", ids } as const;
    const revoked = leader.call(OPERATOR, changeEnrolment, { change });
    await leader.clock.advance(0);
    leader.machine.nowMs += 2;
    await leader.clock.advance(4);
    return revoked;
  }
  const withToken = (leader: FleetLeader, name: string, token: string) =>
    leader.register(connectionOf(name), name, { proof: { credential: null, token } });

  it("admits no chunkserver, and the other tokens stay", async () => {
    const leader = await leaderOf();
    for (const token of ["one", "two"]) await addToken(leader, token);
    const { credential } = await enrol(leader, "s1", "one");
    const { tokens } = await leader.call(OPERATOR, enrolmentStatus, {});
    const [first, second] = ["one", "two"].map((token) =>
      joinTokenId(joinTokenHash(hasher, token)),
    );
    assert.deepEqual(
      tokens.map(({ id }) => id),
      [first, second],
    );
    const after = await revoke(leader, [first ?? "", "0000000000"]);
    assert.deepEqual(
      after.tokens.map(({ id }) => id),
      [second],
    );
    assert.equal(leader.machine.namespace.enrolment()?.tokens.length, 1, "the state forgets it");
    await assert.rejects(withToken(leader, "s2", "one"), hasCode("NOT_ENROLLED"));
    await withToken(leader, "s2", "two");
    const proof = { credential, token: null };
    await leader.register(connectionOf("s1"), "s1", { proof });
  });

  it("that has expired does not become valid again", async () => {
    const leader = await leaderOf();
    await addToken(leader, "one");
    leader.machine.nowMs += SECOND_MS;
    const change = { kind: "revoke-tokens", ids: null } as const;
    const revoked = leader.call(OPERATOR, changeEnrolment, { change });
    await leader.clock.advance(0);
    await assert.rejects(withToken(leader, "s1", "one"), hasCode("NOT_ENROLLED"));
    await leader.clock.advance(4);
    assert.deepEqual((await revoked).tokens, []);
  });

  it("can be each of the most tokens that are possible", async () => {
    const leader = await leaderOf();
    for (let number = 1; number <= JOIN_TOKENS_MAX; number += 1) {
      await addToken(leader, `token ${number}`);
    }
    await assert.rejects(addToken(leader, "more"), (error: Error) => {
      assert.match(error.message, /fewer than 64 valid tokens: current value is 64: revoke one/);
      return hasCode("PRECONDITION_FAILED")(error);
    });
    assert.deepEqual((await revoke(leader, null)).tokens, []);
    await addToken(leader, "more");
    await assert.rejects(withToken(leader, "s1", "token 64"), hasCode("NOT_ENROLLED"));
  });
});

describe("a rotation of the chunk key of a closed enrolment", () => {
  it("needs its feature level, and closing alone rotates nothing", async () => {
    const leader = await leaderOf();
    assert.equal((await close(leader)).keyVersion, 1);
    await assert.rejects(close(leader, false, 1), hasCode("VERSION_MISMATCH"));
    leader.machine.apply(raiseTo(FEATURE_LEVEL_MAX));
    assert.equal((await close(leader, false, 1)).keyVersion, 2);
    assert.equal((await close(leader)).keyVersion, 2);
  });
});

describe("a registration in a new cluster", () => {
  it("is refused without a credential or a token, and gives out no key", async () => {
    const leader = await leaderOf();
    const refused = hasCode("NOT_ENROLLED");
    await assert.rejects(leader.register(connectionOf("s1"), "s1"), refused);
    await assert.rejects(leader.register(connectionOf("s1"), "s1", { proof: NO_PROOF }), refused);
    await addToken(leader, "right");
    const wrong = { credential: new Uint8Array(32) as Digest, token: "wrong" };
    await assert.rejects(leader.register(connectionOf("s1"), "s1", { proof: wrong }), refused);
    assert.deepEqual(leader.machine.namespace.servers(), [], "a refused server is not recorded");
  });

  it("is accepted with a token once, then with the credential of this server only", async () => {
    const leader = await leaderOf();
    await addToken(leader, "right");
    const { peer, credential } = await enrol(leader, "s1", "right");
    assert.deepEqual((await leader.call(peer, heartbeat, heartbeatOf("s1"))).enrol, false);
    leader.machine.nowMs += SECOND_MS;
    const late = { proof: { credential: null, token: "right" } };
    await assert.rejects(
      leader.register(connectionOf("s2"), "s2", late),
      hasCode("NOT_ENROLLED"),
      "the token has expired",
    );
    const again = await leader.register(connectionOf("s1"), "s1", {
      proof: { credential, token: null },
    });
    assert.equal(again.credential, undefined);
    const foreign = { proof: { credential, token: null } };
    await assert.rejects(
      leader.register(connectionOf("s2"), "s2", foreign),
      hasCode("NOT_ENROLLED"),
    );
  });

  it("is refused for a removed server, although its credential was valid", async () => {
    const leader = await leaderOf();
    await addToken(leader, "right");
    const { credential } = await enrol(leader, "s1", "right");
    const removal = { serverId: serverId("s1"), recordsMax: 10 };
    leader.machine.apply({ kind: "remove-server", nowMs: leader.machine.nowMs, ...removal });
    const proof = { credential, token: "right" };
    await assert.rejects(
      leader.register(connectionOf("s1"), "s1", { proof }),
      hasCode("WRONG_IDENTITY"),
    );
  });

  it("waits until the cluster has its feature level", async () => {
    const leader = new FleetLeader(await TestStateMachine.make());
    leader.isFounding = true;
    await assert.rejects(leader.register(connectionOf("s1"), "s1"), hasCode("NO_LEADER"));
    await assert.rejects(leader.call(OPERATOR, enrolmentStatus, {}), hasCode("NO_LEADER"));
    leader.isFounding = false;
    await leader.register(connectionOf("s1"), "s1");
    await assert.rejects(leader.call(OPERATOR, enrolmentStatus, {}), hasCode("VERSION_MISMATCH"));
  });
});

describe("the enrolment of an existing cluster", () => {
  it("asks the running servers to enrol, and names those that have not", async () => {
    const leader = await leaderOf("s1", "s2");
    const status = await leader.call(OPERATOR, enrolmentStatus, {});
    assert.deepEqual([status.isOpen, status.notEnrolled.length], [true, 2]);
    const s1 = connectionOf("s1");
    await leader.register(s1, "s1", { proof: NO_PROOF });
    const asked = await leader.call(s1, heartbeat, heartbeatOf("s1"));
    assert.equal(asked.enrol, true);
    const { peer } = await enrol(leader, "s1");
    assert.equal((await leader.call(peer, heartbeat, heartbeatOf("s1"))).enrol, false);
    await assert.rejects(close(leader), (error: { code?: string; details?: unknown }) => {
      assert.equal(error.code, "PRECONDITION_FAILED");
      assert.deepEqual(error.details, { serverIds: [serverId("s2")] });
      return true;
    });
    assert.equal(leader.machine.namespace.enrolment()?.isOpen, true);
  });

  it("accepts a server of an old version until it is closed, and refuses it afterwards", async () => {
    const leader = await leaderOf("s1", "s2");
    const { peer: enrolled } = await enrol(leader, "s1");
    const old = connectionOf("s2");
    const answer = await leader.register(old, "s2");
    assert.equal(answer.credential, undefined, "it cannot store one");
    await leader.call(old, heartbeat, heartbeatOf("s2"));
    const { notEnrolled, keyVersion } = await close(leader, true);
    assert.deepEqual([notEnrolled, keyVersion], [[], 2]);
    const refused = hasCode("NOT_ENROLLED");
    await assert.rejects(leader.call(old, heartbeat, heartbeatOf("s2")), refused);
    await assert.rejects(leader.register(old, "s2"), refused);
    assert.equal(leader.registry.liveness(serverId("s2")), "refused");
    assert.equal(leader.registry.isAvailable(serverId("s2")), false);
    await leader.call(enrolled, heartbeat, heartbeatOf("s1"));
    // It is no planned stop: its copies are replaced as soon as those of a server that died now.
    await leader.clock.advance(FLEET_TIMES.deadMs + FLEET_TIMES.repairDelayMs - 1);
    assert.equal(leader.registry.isRepairDue(serverId("s2")), false);
    await leader.clock.advance(1);
    assert.equal(leader.registry.isRepairDue(serverId("s2")), true);
    await addToken(leader, "token");
    await leader.register(old, "s2", { proof: { credential: null, token: "token" } });
    assert.equal(leader.registry.liveness(serverId("s2")), "live");
  });

  it("is shown as refused by a later leader too, once its silence counts, and a stopped one is not", async () => {
    const before = await leaderOf("s1", "s2", "s3");
    for (const name of ["s1", "s3"]) await enrol(before, name);
    await close(before, true);
    const leader = new FleetLeader(before.machine);
    await addToken(leader, "of another server");
    const attempt = () => leader.register(connectionOf("s2"), "s2").catch(() => {});
    await attempt();
    // A process without a credential can state any id.
    assert.equal(leader.registry.liveness(serverId("s2")), "live");
    leader.registry.recordGoodbye(serverId("s3"));
    await leader.clock.advance(FLEET_TIMES.deadMs);
    await attempt();
    assert.equal(leader.registry.liveness(serverId("s2")), "refused");
    await leader.register(connectionOf("s3"), "s3").catch(() => {});
    assert.equal(leader.registry.liveness(serverId("s3")), "stopped");
  });

  it("sends the new key with the next heartbeat, to servers that lack it", async () => {
    const leader = await leaderOf("s1");
    const { peer } = await enrol(leader, "s1");
    const beat = async (chunkKeyVersions?: number[]) => {
      const versions = chunkKeyVersions === undefined ? {} : { chunkKeyVersions };
      const answer = await leader.call(peer, heartbeat, { ...heartbeatOf("s1"), ...versions });
      return answer.chunkKeys?.map(({ version }) => version);
    };
    assert.equal(await beat([1]), undefined);
    await close(leader);
    assert.deepEqual(await beat([1]), [1, 2]);
    assert.equal(await beat([1, 2]), undefined);
    assert.equal(await beat(), undefined, "an old version would not understand it");
  });
});

describe("receipts after a rotation of the chunk key", () => {
  /** Verifies a put of a chunk whose receipt is signed with `key`. */
  function verify(leader: FleetLeader, intentIndex: LogIndex, key: Uint8Array) {
    const sealed = {
      serverId: serverId("s1"),
      chunkId: chunkId("a"),
      lengthBytes: MIB,
      intentIndex,
    };
    const receipt = { serverId: serverId("s1"), receipt: signReceipt(hasher, key, sealed) };
    const chunk = { id: chunkId("a"), lengthBytes: MIB, intentIndex, receipts: [receipt] };
    const content = { kind: "chunks" as const, sizeBytes: MIB, chunkSizeBytes: MIB };
    const operation = {
      ...{ kind: "put" as const, target: at("/f"), replace: false, ...OWNER },
      content: { ...content, chunks: [chunk] },
    };
    const { namespace } = leader.machine;
    const accepted = { chunkKeys: chunkKeysOf(namespace), intentFloor: namespace.intentFloor() };
    const work = new PartWork(leader.contexts.make(), 100);
    const verification = { hasher, accepted, work };
    const verified = verifyOperation(verification, { operation, operationIndex: 0 }).next();
    assert.ok(verified.done === true);
    return verified.value;
  }

  it("are verified with the version of their intent, until all its intents have expired", async () => {
    const leader = await leaderOf("s1");
    const { machine } = leader;
    await enrol(leader, "s1");
    const oldIndex = machine.index;
    const [oldKey] = chunkKeysOf(machine.namespace);
    await close(leader);
    const newKey = keyOfIndex(chunkKeysOf(machine.namespace), machine.index);
    assert.ok(oldKey !== undefined && newKey !== null);
    verify(leader, oldIndex, oldKey.key);
    verify(leader, machine.index, newKey);
    const forged = hasCode("INVALID_ARGUMENT");
    assert.throws(() => verify(leader, machine.index, oldKey.key), forged);
    assert.throws(() => verify(leader, oldIndex, newKey), forged);
    const rotated = machine.index;
    machine.openSession();
    machine.apply({ kind: "raise-intent-floor", floor: rotated });
    // The state refuses the commit, or answers it as it did before.
    const late = verify(leader, oldIndex, oldKey.key);
    assert.ok(late.kind === "put");
    const refused = machine.transact([late]);
    assert.equal(refused.ok === false && refused.code, "INTENT_EXPIRED");
  });
});
