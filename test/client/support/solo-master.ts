import * as v from "valibot";
import { registerFleetHandlers } from "../../../master/api/fleet-handlers.ts";
import { type MasterParts, propose } from "../../../master/api/leader-context.ts";
import { registerNamespaceHandlers } from "../../../master/api/namespace-handlers.ts";
import { type MasterConfig, masterConfigSchema } from "../../../master/config.ts";
import type { Applied, Consensus, ConsensusStatus } from "../../../master/consensus.ts";
import { LeaderServices } from "../../../master/fleet/leader-services.ts";
import { Registry } from "../../../master/fleet/registry.ts";
import { Repair } from "../../../master/fleet/repair.ts";
import { SessionWatch } from "../../../master/fleet/session-watch.ts";
import { Namespace } from "../../../master/namespace/namespace.ts";
import type { ClusterId, LogIndex, MemberId, Term } from "../../../shared/base/ids.ts";
import { Closers } from "../../../shared/flow/closers.ts";
import { SlabPool } from "../../../shared/flow/slabs.ts";
import { MemoryStores } from "../../../shared/platform/memory-store.ts";
import type { Env } from "../../../shared/ports/env.ts";
import { RpcServer } from "../../../shared/wire/rpc-server.ts";

const TERM = 1 as Term;

/** Consensus of one: what is proposed is committed and applied at once. In memory. */
class SoloConsensus implements Consensus {
  readonly #namespace: Namespace;
  readonly #address: () => string;

  constructor(namespace: Namespace, address: () => string) {
    this.#namespace = namespace;
    this.#address = address;
  }

  async propose(command: Uint8Array): Promise<Applied> {
    const index = (this.#namespace.appliedIndex + 1) as LogIndex;
    const outcome = this.#namespace.apply({ index, term: TERM, data: command, membership: null });
    return { index, outcome };
  }

  async confirmRead(): Promise<LogIndex> {
    return this.#namespace.appliedIndex;
  }

  async waitApplied(): Promise<void> {}

  status(): ConsensusStatus {
    const memberId = 1 as MemberId;
    const index = this.#namespace.appliedIndex;
    return {
      memberId,
      role: "leader",
      term: TERM,
      leaderId: memberId,
      leaderAddress: this.#address(),
      isReady: true,
      lastIndex: index,
      committedIndex: index,
      appliedIndex: index,
      members: [{ id: memberId, address: this.#address() }],
    };
  }

  onChange(): void {}
}

export interface SoloMaster extends AsyncDisposable {
  readonly address: string;
  readonly namespace: Namespace;
  readonly registry: Registry;
}

/** The real namespace and the real handlers behind a Raft group of one that keeps nothing. */
export async function startSoloMaster(
  env: Env,
  clusterId: ClusterId,
  settings: Partial<MasterConfig>,
): Promise<SoloMaster> {
  await using closers = new Closers();
  const config = v.parse(masterConfigSchema, {
    dataDir: "/nowhere",
    clusterId,
    memberId: 1,
    members: ["1=127.0.0.1:1"],
    ...settings,
  });
  const store = await new MemoryStores().open("state");
  const namespace = Namespace.open({ store, hasher: env.hasher });
  let address = "127.0.0.1:1";
  const consensus = new SoloConsensus(namespace, () => address);
  const { clock, hasher, log } = env;
  const times = {
    suspectMs: config.serverSuspectMs,
    deadMs: config.serverDeadMs,
    repairDelayMs: config.repairDelayMs,
    repairDelayStoppedMs: config.repairDelayStoppedMs,
  };
  const limits = {
    copiesPerTarget: config.repairCopiesPerServer,
    copiesTotal: config.repairCopiesTotal,
    orderTimeoutMs: 10_000,
    massLossShare: config.repairMassLossShare,
    racksMin: config.defaultRacksMin,
  };
  const registry = new Registry({ clock, times });
  const repair = new Repair({ registry, clock, hasher, log, limits });
  const sessions = new SessionWatch({ idleMsMax: config.sessionIdleMsMax });
  const nowMs = (): number => clock.wallMs();
  const parts: MasterParts = {
    env,
    consensus,
    namespace: () => namespace,
    fleet: registry,
    repair,
    sessions,
    nowMs,
  };
  await propose(consensus, {
    kind: "bootstrap",
    nowMs: nowMs(),
    clusterId,
    chunkKey: env.random.bytes(32),
    defaultClass: {
      name: "default",
      copies: config.defaultCopies,
      copiesMin: config.defaultCopiesMin,
      racksMin: config.defaultRacksMin,
    },
    inlineBytesMax: config.inlineBytesMax,
    historyRetentionMs: config.historyRetentionMs,
    intentLifetimeMs: config.intentLifetimeMs,
    sessionIdleMsMax: config.sessionIdleMsMax,
  });
  const services = closers.use(
    new LeaderServices({
      ...parts,
      state: () => namespace,
      propose: (command) => propose(consensus, command),
      registry,
      repair,
      sessions,
      newCluster: undefined as never,
    }),
  );
  const slabs = new SlabPool({ bytesMax: 64 * 1024 * 1024 });
  const identity = { role: "master", clusterId, name: "master 1" } as const;
  const server = new RpcServer({ ...env, slabs }, { identity: () => identity });
  closers.defer(() => server.close(200));
  registerNamespaceHandlers(server, parts);
  registerFleetHandlers(server, {
    ...parts,
    askMember: () => Promise.reject(new Error("There is no other member")),
  });
  address = await server.listen("127.0.0.1:0");
  services.start();
  const owned = closers.move();
  return {
    address,
    namespace,
    registry,
    [Symbol.asyncDispose]: () => owned[Symbol.asyncDispose](),
  };
}
