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

export interface NamespaceCounts extends FaultCounts, ClientCounts {}

/**
 * Three members with the namespace as their state, under faults, and clients with sessions. Whatever
 * happens:
 *
 * - what the clients saw is linearizable (G1): each directory is an object of its own;
 * - a repeated mutation has its first outcome (G4), also behind a snapshot or a restart;
 * - in the end all members hold the same state, to the byte.
 */
export async function simulateNamespace(seed: number, counts: NamespaceCounts): Promise<void> {
  const group = await TestGroup.start({
    ...SMALL,
    seed,
    openStateMachine: (store) => Namespace.open({ store, hasher, cacheBytesMax: 10_000 }),
  });
  const { clock, random } = group;
  const world: NamespaceClientDeps = { group, counts, history: [], eventCount: 0, isOver: false };
  const founder = new NamespaceClient(world, "p0");
  await clock.advanceFor(
    founder.bootstrapCluster({ ...BOOTSTRAP, nowMs: clock.wallMs() }),
    "it is founded",
  );
  const faults = new GroupFaults(group, counts);
  const clients = Promise.all(CLIENT_NAMES.map((name) => new NamespaceClient(world, name).run()));
  clients.catch(() => {}); // The wait at the end reports it.
  for (let round = 0; round < ROUNDS; round += 1) {
    await faults.injectFault();
    await clock.advance(random.integer(600));
    faults.killFailedMembers();
  }
  await faults.repairAll();
  await group.leader();
  world.isOver = true;
  await clock.advanceFor(clients, "all clients have their answers");
  for (const [key, name] of NamespaceClient.allFiles()) {
    await clock.advanceFor(founder.read(key, name), "a last look");
  }
  requireLinearizable(directoryModel, world.history);
  await requireEqualStates(group);
  faults.countSnapshots();
  await group.stopAll();
}

/** What was applied and flushed at different times, from the log or from snapshots, is the same. */
async function requireEqualStates(group: TestGroup): Promise<void> {
  const index = () => Math.max(...group.members.map((each) => each.running.status().lastIndex));
  const isWritten = () =>
    group.members.every((each) => each.running.stateMachine.durable.index === index());
  await group.clock.advanceUntil(isWritten, "every state is written to its end");
  const [first, ...others] = group.members.map((member) => {
    const snapshot = member.running.stateMachine.openSnapshot();
    try {
      const rows = snapshot.reader.range({ start: Uint8Array.of(0), end: Uint8Array.of(255) });
      return Array.from(rows, ({ key, value }) => [hex(key), hex(value)].join(" "));
    } finally {
      snapshot.release();
    }
  });
  for (const rows of others) assert.deepEqual(rows, first, "all members hold the same state");
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
