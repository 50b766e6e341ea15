import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { EnrolmentChange, Outcome } from "../../../master/namespace/command.ts";
import { CHUNK_KEYS_MAX } from "../../../master/namespace/enrolment.ts";
import { FEATURE_LEVEL_ENROLMENT } from "../../../master/namespace/feature-levels.ts";
import { Namespace } from "../../../master/namespace/namespace.ts";
import { errorOfRefused } from "../../../master/namespace/refused-answer.ts";
import { keyOfIndex } from "../../../shared/protocol/chunk-keys.ts";
import {
  JOIN_TOKEN_VALID_MS_MAX,
  JOIN_TOKENS_MAX,
} from "../../../shared/protocol/enrolment-api.ts";
import {
  assertOk,
  BOOTSTRAP,
  codeOf,
  hasher,
  raiseTo,
  SECOND_MS,
  serverId,
  TestStateMachine,
} from "./harness.ts";

const secret = (byte: number): Uint8Array => new Uint8Array(32).fill(byte);

async function makeMachine(serverCount = 0): Promise<TestStateMachine> {
  const machine = await TestStateMachine.make();
  for (let number = 1; number <= serverCount; number += 1) {
    const name = `s${number}`;
    const server = { serverId: serverId(name), address: `${name}:1`, host: name, rack: "r" };
    machine.apply({ kind: "register-server", nowMs: machine.nowMs, server });
  }
  assertOk(machine.apply(raiseTo(FEATURE_LEVEL_ENROLMENT)));
  return machine;
}

const change = (machine: TestStateMachine, requested: EnrolmentChange): Outcome =>
  machine.apply({ kind: "change-enrolment", nowMs: machine.nowMs, change: requested });

const enrolmentOf = ({ namespace }: TestStateMachine) => {
  const record = namespace.enrolment();
  assert.ok(record !== undefined);
  return record;
};

const versionsOf = (machine: TestStateMachine): number[] =>
  enrolmentOf(machine).keys.map(({ version }) => version);

describe("the enrolment of chunkservers", () => {
  it("does not exist below its feature level, and the raise to it needs a secret", async () => {
    const machine = await TestStateMachine.make();
    assertOk(machine.apply(raiseTo(FEATURE_LEVEL_ENROLMENT - 1)));
    assert.equal(machine.namespace.enrolment(), undefined);
    const raise = { kind: "raise-feature-level", level: FEATURE_LEVEL_ENROLMENT } as const;
    assert.equal(codeOf(machine.apply(raise)), "INVALID_ARGUMENT");
    assert.equal(machine.namespace.featureLevel, FEATURE_LEVEL_ENROLMENT - 1);
    assert.equal(machine.namespace.enrolment(), undefined);
  });

  it("begins open for the servers of an existing cluster, and closed in a new one", async () => {
    const existing = enrolmentOf(await makeMachine(1));
    assert.equal(existing.isOpen, true);
    const key = { version: 1, fromIndex: 0, key: BOOTSTRAP.chunkKey };
    assert.deepEqual(existing.keys, [key]);
    assert.equal(enrolmentOf(await makeMachine()).isOpen, false);
  });

  it("rotates the key when it is closed, and accepts the old version for its intents", async () => {
    const machine = await makeMachine(1);
    const before = machine.index;
    assertOk(change(machine, { kind: "close", chunkKey: secret(9) }));
    const { isOpen, keys } = enrolmentOf(machine);
    assert.equal(isOpen, false);
    assert.deepEqual(versionsOf(machine), [1, 2]);
    assert.deepEqual(keyOfIndex(keys, before), BOOTSTRAP.chunkKey);
    assert.deepEqual(keyOfIndex(keys, machine.index), secret(9));
    assertOk(change(machine, { kind: "close", chunkKey: secret(8) }));
    assert.deepEqual(versionsOf(machine), [1, 2], "closing again rotates nothing");
    assertOk(change(machine, { kind: "close", chunkKey: secret(7), rotatesFrom: 2 }));
    assert.deepEqual(versionsOf(machine), [1, 2, 3]);
    assert.deepEqual(keyOfIndex(enrolmentOf(machine).keys, machine.index), secret(7));
  });

  it("is refused if another change has rotated the key of the version that its caller saw", async () => {
    const machine = await makeMachine(1);
    const rotate = (byte: number, rotatesFrom: number): Outcome =>
      change(machine, { kind: "close", chunkKey: secret(byte), rotatesFrom });
    const early = rotate(9, 99);
    assert.ok(!early.ok);
    assert.equal(codeOf(early), "PRECONDITION_FAILED");
    assert.match(
      errorOfRefused(early).message,
      /expected version 99: current version is 1: version 99 does not exist yet$/,
    );
    assert.equal(enrolmentOf(machine).isOpen, true, "a refused change changes nothing");
    assertOk(rotate(9, 1));
    const late = rotate(8, 1);
    assert.ok(!late.ok);
    assert.match(
      errorOfRefused(late).message,
      /expected version 1: current version is 2: it was rotated in the meantime$/,
    );
    assert.deepEqual(versionsOf(machine), [1, 2]);
  });

  it("drops a version when the intent floor has passed its last intent, not before", async () => {
    const machine = await makeMachine(1);
    assertOk(change(machine, { kind: "close", chunkKey: secret(9) }));
    const rotated = machine.index;
    machine.openSession();
    assertOk(machine.apply({ kind: "raise-intent-floor", floor: (rotated - 1) as never }));
    assert.deepEqual(versionsOf(machine), [1, 2]);
    assertOk(machine.apply({ kind: "raise-intent-floor", floor: rotated }));
    assert.deepEqual(versionsOf(machine), [2]);
  });

  it("has at most four versions of the key at the same time", async () => {
    const machine = await makeMachine(1);
    for (let version = 2; version <= CHUNK_KEYS_MAX; version += 1) {
      if (version > 2) assertOk(change(machine, { kind: "open" }));
      assertOk(change(machine, { kind: "close", chunkKey: secret(version) }));
    }
    // An open enrolment can always be closed.
    assert.equal(codeOf(change(machine, { kind: "open" })), "PRECONDITION_FAILED");
    assert.equal(enrolmentOf(machine).isOpen, false, "a refused change changes nothing");
  });

  it("keeps a join token until it expires, and at most 64", async () => {
    const machine = await makeMachine();
    const add = (byte: number, validMs = SECOND_MS): Outcome =>
      change(machine, { kind: "add-token", tokenHash: secret(byte), validMs });
    for (let byte = 1; byte <= JOIN_TOKENS_MAX; byte += 1) assertOk(add(byte));
    assert.equal(codeOf(add(99)), "PRECONDITION_FAILED");
    assertOk(add(1, 2 * SECOND_MS)); // A repeated call changes only the time.
    assert.equal(enrolmentOf(machine).tokens.length, JOIN_TOKENS_MAX);
    machine.nowMs += SECOND_MS;
    assert.equal(machine.namespace.hasExpiredTokens(machine.nowMs), true);
    assertOk(change(machine, { kind: "expire-tokens" }));
    assert.deepEqual(
      enrolmentOf(machine).tokens.map(({ hash }) => hash),
      [secret(1)],
    );
    assert.equal(machine.namespace.hasExpiredTokens(machine.nowMs), false);
    for (const validMs of [0, JOIN_TOKEN_VALID_MS_MAX + 1]) {
      assert.equal(codeOf(add(2, validMs)), "INVALID_ARGUMENT");
    }
    const short = { kind: "add-token", tokenHash: new Uint8Array(31), validMs: 1 } as const;
    assert.equal(codeOf(change(machine, short)), "INVALID_ARGUMENT");
  });

  it("is the same after a restart of the state, without views of the log's memory", async () => {
    const machine = await makeMachine(1);
    const token = { kind: "add-token", tokenHash: secret(3), validMs: SECOND_MS } as const;
    assertOk(change(machine, token));
    assertOk(change(machine, { kind: "close", chunkKey: secret(9) }));
    const before = structuredClone(enrolmentOf(machine));
    for (const { data } of machine.log) data.fill(0);
    assert.deepEqual(enrolmentOf(machine), before);
    await machine.namespace.flush();
    const reopened = Namespace.open({ store: machine.store, hasher });
    assert.deepEqual(reopened.enrolment(), before);
  });
});
