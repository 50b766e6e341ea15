import assert from "node:assert/strict";
import { Namespace } from "../../../master/namespace/namespace.ts";
import { TestGroup } from "../../master/driver/test-group.ts";
import { BOOTSTRAP, hasher } from "../../master/namespace/harness.ts";
import { requireLinearizable } from "../linearizability/counterexample.ts";
import { directoryModel } from "../linearizability/directory-model.ts";
import { type FaultCounts, GroupFaults, SMALL } from "./group-faults.ts";
import {
  type ClientCounts,
  NamespaceClient,
  type NamespaceClientDeps,
} from "./namespace-client.ts";

const ROUNDS = 50;
const CLIENT_NAMES = ["p1", "p2", "p3", "p4"] as const;

/** The numbers of faults and of client operations. */
export interface NamespaceCounts extends FaultCounts, ClientCounts {}

/**
 * Simulates three members with a namespace, under faults, with clients that have sessions, and
 * asserts:
 *
 * - the history of the clients is linearizable (G1), each directory as one object;
 * - a repeated mutation returns its first outcome (G4), also after a snapshot or a restart;
 * - all members have the same state at the end, byte for byte.
 */
export async function simulateNamespace(seed: number, counts: NamespaceCounts): Promise<void> {
  const group = await TestGroup.start({
    ...SMALL,
    seed,
    openStateMachine: (store) => Namespace.open({ store, hasher, cacheBytesMax: 10_000 }),
  });
  const { clock, random } = group;
  const deps: NamespaceClientDeps = { group, counts, history: [], eventCount: 0, isOver: false };
  const founder = new NamespaceClient(deps, "p0");
  await clock.advanceFor(
    founder.bootstrapCluster({ ...BOOTSTRAP, nowMs: clock.wallMs() }),
    "the bootstrap succeeds",
  );
  const faults = new GroupFaults(group, counts);
  const clients = Promise.all(CLIENT_NAMES.map((name) => new NamespaceClient(deps, name).run()));
  clients.catch(() => {}); // The `advanceFor` at the end reports the error.
  for (let round = 0; round < ROUNDS; round += 1) {
    await faults.injectFault();
    await clock.advance(random.integer(600));
    faults.killFailedMembers();
  }
  await faults.repairAll();
  await group.leader();
  deps.isOver = true;
  await clock.advanceFor(clients, "all clients finish");
  for (const [key, name] of NamespaceClient.allFiles()) {
    await clock.advanceFor(founder.read(key, name), "a final read is answered");
  }
  requireLinearizable(directoryModel, deps.history);
  await requireEqualStates(group);
  faults.countSnapshots();
  await group.stopAll();
}

/** Asserts that all members have equal rows, although they flushed at different times. */
async function requireEqualStates(group: TestGroup): Promise<void> {
  const index = () => Math.max(...group.members.map((each) => each.running.status().lastIndex));
  const isWritten = () =>
    group.members.every((each) => each.running.stateMachine.durable.index === index());
  await group.clock.advanceUntil(isWritten, "every member has flushed the last entry");
  const [first, ...others] = group.members.map((member) => {
    const snapshot = member.running.stateMachine.openSnapshot();
    try {
      const rows = snapshot.reader.range({ start: Uint8Array.of(0), end: Uint8Array.of(255) });
      return Array.from(rows, ({ key, value }) => [hex(key), hex(value)].join(" "));
    } finally {
      snapshot.release();
    }
  });
  for (const rows of others) assert.deepEqual(rows, first, "all members have the same state");
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
