import { registerFleetHandlers } from "../../../master/api/fleet-handlers.ts";
import { Registrations } from "../../../master/api/registrations.ts";
import { ServerRemoval } from "../../../master/api/server-removal.ts";
import { Registry } from "../../../master/fleet/registry.ts";
import { decodeCommand } from "../../../master/namespace/command-encoding.ts";
import * as api from "../../../shared/protocol/fleet-api.ts";
import type { CallMethod } from "../../../shared/protocol/method.ts";
import type { CallHandler, Handlers, PeerIdentity } from "../../../shared/wire/rpc.ts";
import { CallContexts } from "../../support/call-contexts.ts";
import { SeededRandom } from "../../support/seeded-random.ts";
import { VirtualClock } from "../../support/virtual-clock.ts";
import { MemoryLog } from "../../support/wire-fixture.ts";
import { hasher, serverId, type TestStateMachine } from "../namespace/harness.ts";

export const SPACE = { totalBytes: 1e9, availableBytes: 1e9, usedBytes: 0 };

/** Returns the location of a chunkserver with a short name. */
export const location = (name: string) => ({
  ...{ serverId: serverId(name), address: `${name}:1`, host: name, rack: "r" },
});

/** A connection of a chunkserver to the leader, after its handshake. */
export const connectionOf = (name: string): PeerIdentity => ({
  ...{ role: "chunkserver", clusterId: null, name },
});

/** Returns the heartbeat of a chunkserver without news. */
export const heartbeatOf = (name: string): api.HeartbeatRequest => ({
  ...{ serverId: serverId(name), space: SPACE, isDiskFailed: false, chunkCount: 0 },
  ...{ activeWrites: 0, copied: [], copyFailed: [], lost: [], purged: [] },
});

/** Durations of silence after which a chunkserver changes its state. */
export const FLEET_TIMES = {
  suspectMs: 1_000,
  deadMs: 10_000,
  repairDelayMs: 30_000,
  repairDelayStoppedMs: 1_800_000,
};

/** The handlers of `fleet-api` on a leader over the state of `machine`. */
export class FleetLeader {
  readonly clock = new VirtualClock();
  readonly contexts = new CallContexts(this.clock);
  readonly log = new MemoryLog();
  readonly registry: Registry;
  isFounding = false;
  isLeader = true;
  readonly machine: TestStateMachine;
  readonly #handlers = new Map<string, CallHandler<unknown, unknown>>();

  constructor(machine: TestStateMachine) {
    this.machine = machine;
    const { clock, log } = this;
    const random = new SeededRandom(1);
    this.registry = new Registry({ clock, random, times: FLEET_TIMES });
    const consensus = {
      status: () => ({
        ...{ role: this.isLeader ? "leader" : "follower", isReady: true, term: 1 },
        ...{ leaderAddress: null, memberPhase: "active", masters: [] },
      }),
      confirmRead: async () => machine.index,
      propose: async (bytes: Uint8Array) => ({ outcome: machine.apply(decodeCommand(bytes)) }),
    };
    const deps = {
      ...{ consensus, fleet: this.registry, namespace: () => machine.namespace },
      ...{ env: { log, clock, hasher, random }, nowMs: () => machine.nowMs },
      ...{
        registrations: new Registrations(),
        removal: new ServerRemoval(clock),
        isFounding: () => this.isFounding,
      },
      repair: { ordersFor: () => [], recordCopyResult: () => {}, adoptCopy: () => false },
    };
    const onCall = (method: { readonly name: string }, handler: never) =>
      this.#handlers.set(method.name, handler);
    registerFleetHandlers({ onCall } as unknown as Handlers, deps as never);
  }

  /** Calls a method on the connection of `peer`. */
  async call<Request, Response>(
    peer: PeerIdentity,
    method: CallMethod<Request, Response>,
    head: Request,
  ): Promise<Response> {
    const request = { head, body: new Uint8Array(), release: () => {} };
    const handler = this.#handlers.get(method.name) as CallHandler<Request, Response>;
    return (await handler(request, this.contexts.make(peer))) as Response;
  }

  /** Registers the chunkserver `name` on a connection. */
  register(
    peer: PeerIdentity,
    name: string,
    more: Partial<ReturnType<(typeof api.register)["parseRequest"]>> = {},
  ): Promise<ReturnType<(typeof api.register)["parseResponse"]>> {
    const request = { server: location(name), space: SPACE, clusterId: null, ...more };
    return this.call(peer, api.register, request);
  }
}
