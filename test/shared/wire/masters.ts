import assert from "node:assert/strict";
import * as v from "valibot";
import { AshlarError } from "../../../shared/base/errors.ts";
import type { ClusterId, LogIndex, MemberId, Term } from "../../../shared/base/ids.ts";
import { memberStatus } from "../../../shared/protocol/fleet-api.ts";
import { defineCall } from "../../../shared/protocol/method.ts";
import { ANY_ROLE } from "../../../shared/protocol/roles.ts";
import { ConnectionPool } from "../../../shared/wire/connection-pool.ts";
import { fetchMasters } from "../../../shared/wire/fetch-masters.ts";
import { LeaderChannel, type Retry } from "../../../shared/wire/leader-channel.ts";
import type { CallContext } from "../../../shared/wire/rpc.ts";
import { RpcServer } from "../../../shared/wire/rpc-server.ts";
import { MemoryNetwork } from "../../support/memory-network.ts";
import { VirtualClock } from "../../support/virtual-clock.ts";
import { CLIENT, CLUSTER_A, makeWireDeps, type TestWireDeps } from "../../support/wire-fixture.ts";

export const rename = defineCall(
  "test.rename",
  ANY_ROLE,
  v.object({ id: v.number() }),
  v.object({ by: v.string() }),
);

/** Returns the error of a call to a master; null: the master returns its name. */
type Behaviour = (context: CallContext, id: number) => Promise<AshlarError | null>;

interface Master {
  readonly server: RpcServer;
  readonly address: string;
  behave: Behaviour;
  callCount: number;
}

export const NAMES = ["m1", "m2", "m3"] as const;
type Name = (typeof NAMES)[number];

/** Three masters with scripted replies, and a channel to their leader. */
export class Masters {
  readonly clock = new VirtualClock();
  readonly network = new MemoryNetwork({ clock: this.clock, delayMs: () => 1 });
  readonly deps: TestWireDeps;
  readonly masters = new Map<Name, Master>();
  readonly retries: Retry[] = [];
  readonly pool: ConnectionPool;
  readonly channel: LeaderChannel;
  leader: Name | null = "m1";
  configured: readonly string[] = NAMES.map((name) => `${name}:9000`);
  /** Addresses of all masters, as each of them reports them. */
  reported: readonly string[] = [];

  constructor() {
    this.deps = makeWireDeps({ network: this.network.host("client"), clock: this.clock });
    const identity = { ...CLIENT, clusterId: null };
    this.pool = new ConnectionPool(this.deps, { identity: () => identity, role: "master" });
    this.channel = new LeaderChannel({
      pool: this.pool,
      clock: this.clock,
      random: this.deps.random,
      addresses: () => this.configured,
      fetchMasters,
      onRetry: (retry) => this.retries.push(retry),
    });
  }

  async start(name: Name, clusterId: ClusterId = CLUSTER_A): Promise<Master> {
    const deps = makeWireDeps({ network: this.network.host(name), clock: this.clock });
    const identity = { role: "master", clusterId, name } as const;
    const server = new RpcServer(deps, { identity: () => identity });
    const address = `${name}:9000`;
    const master: Master = {
      server,
      address,
      callCount: 0,
      behave: async () => this.#refusal(name),
    };
    server.onCall(rename, async (request, context) => {
      request.release();
      master.callCount += 1;
      const error = await master.behave(context, request.head.id);
      if (error !== null) throw error;
      return { by: name };
    });
    server.onCall(memberStatus, async (request) => {
      request.release();
      const zero = 0 as LogIndex;
      const indexes = { lastIndex: zero, committedIndex: zero, appliedIndex: zero };
      const memberId = (NAMES.indexOf(name) + 1) as MemberId;
      const member = { memberId, address, role: "follower", term: 1 as Term, ...indexes } as const;
      const leaderAddress = this.leader === null ? null : `${this.leader}:9000`;
      return { member, leaderAddress, masters: [...this.reported], learners: [] };
    });
    await server.listen(address);
    this.masters.set(name, master);
    return master;
  }

  async startAll(): Promise<void> {
    for (const name of NAMES) await this.start(name);
  }

  #refusal(name: Name): AshlarError | null {
    if (this.leader === name) return null;
    if (this.leader === null) return new AshlarError("NO_LEADER", "No master leads now");
    const details = { leaderAddress: `${this.leader}:9000` };
    return new AshlarError("NOT_LEADER", `${name} does not lead`, { details });
  }

  rename(
    options: { timeoutMs?: number; idempotent?: boolean; signal?: AbortSignal } = {},
  ): Promise<string> {
    return this.channel
      .call(rename, { id: 1 }, { timeoutMs: 10_000, ...options })
      .then((response) => {
        response.release();
        return response.head.by;
      });
  }

  settle<Result>(work: Promise<Result>): Promise<Result> {
    return this.clock.advanceFor(work, "the work of the test", 120_000);
  }

  master(name: Name): Master {
    const master = this.masters.get(name);
    assert.ok(master);
    return master;
  }

  async close(): Promise<void> {
    await this.settle(this.pool.close(0));
    for (const { server } of this.masters.values()) await this.settle(server.close(0));
  }
}

export async function withMasters(test: (masters: Masters) => Promise<void>): Promise<void> {
  const masters = new Masters();
  try {
    await test(masters);
  } finally {
    await masters.close();
  }
}
