import { registerFleetHandlers } from "../../../master/api/fleet-handlers.ts";
import { Registrations } from "../../../master/api/registrations.ts";
import { Registry } from "../../../master/fleet/registry.ts";
import { Repair } from "../../../master/fleet/repair.ts";
import type { LogIndex } from "../../../shared/base/ids.ts";
import { quietLog } from "../../../shared/platform/quiet.ts";
import { confirmChunks } from "../../../shared/protocol/fleet-api.ts";
import type { CallHandler, Handlers, PeerIdentity } from "../../../shared/wire/rpc.ts";
import { CallContexts } from "../../support/call-contexts.ts";
import { SeededRandom } from "../../support/seeded-random.ts";
import { VirtualClock } from "../../support/virtual-clock.ts";
import { chunkId, serverId, type TestStateMachine } from "../namespace/harness.ts";
import { heartbeatOf } from "./fleet-fixture.ts";

const SPACE = { totalBytes: 1e12, availableBytes: 1e12, usedBytes: 0 };

/** A leader over the state of `machine`, with the chunkservers that have registered. */
export class TestLeader {
  readonly repair: Repair;
  readonly #registrations = new Registrations();
  readonly #registry: Registry;
  readonly #contexts: CallContexts;
  readonly #clock = new VirtualClock();
  #term = 1;
  readonly #handlers = new Map<string, CallHandler<unknown, unknown>>();

  private constructor(machine: TestStateMachine) {
    const times = { suspectMs: 10, deadMs: 20, repairDelayMs: 3, repairDelayStoppedMs: 4 };
    const clock = this.#clock;
    this.#contexts = new CallContexts(clock);
    const registry = new Registry({ clock, random: new SeededRandom(1), times });
    this.#registry = registry;
    const limits = {
      ...{ copiesPerTarget: 4, copiesTotal: 64, orderTimeoutMs: 60_000 },
      ...{ massLossShare: 0.5, racksMin: 1 },
    };
    this.repair = new Repair({ registry, clock, log: quietLog, limits });
    const status = () => ({ role: "leader", isReady: true, term: this.#term });
    const consensus = { status, confirmRead: async () => machine.index };
    const namespace = () => machine.namespace;
    const registrations = this.#registrations;
    const env = { clock };
    const deps = { env, consensus, fleet: registry, repair: this.repair, registrations, namespace };
    const onCall = (method: { readonly name: string }, handler: never) =>
      this.#handlers.set(method.name, handler);
    registerFleetHandlers({ onCall } as unknown as Handlers, deps as never);
  }

  /** Returns a leader with which the servers `names` have registered. */
  static async start(machine: TestStateMachine, names: readonly string[]): Promise<TestLeader> {
    const leader = new TestLeader(machine);
    await leader.ask("s1", { name: "a", intentIndex: machine.index }); // Begins the term.
    for (const name of names) {
      const location = { serverId: serverId(name), address: `${name}:1`, host: name, rack: "r" };
      leader.#registry.recordRegistration(location, SPACE);
      leader.hear(name);
    }
    return leader;
  }

  /** Receives a heartbeat of a server that has registered. */
  hear(name: string): void {
    this.#registry.recordHeartbeat(heartbeatOf(name));
  }

  /** Leads again, after another leader. Every recorded server is presumed to be alive. */
  async leadAgain(): Promise<void> {
    await this.#clock.advance(1);
    this.#term += 1;
    this.#registry.beginTerm(this.#term, () =>
      this.#registry.servers().map(({ location }) => location),
    );
  }

  /** Asks, as server `server`, about its copy of a chunk. */
  async ask(
    server: string,
    copy: { readonly name: string; readonly intentIndex: LogIndex },
  ): Promise<string> {
    const chunks = [{ chunkId: chunkId(copy.name), intentIndex: copy.intentIndex }];
    const request = { release: () => {}, head: { serverId: serverId(server), chunks } };
    const handler = this.#handlers.get(confirmChunks.name) as CallHandler<unknown, unknown>;
    const peer: PeerIdentity = { role: "chunkserver", clusterId: null, name: server };
    this.#registrations.record(peer, serverId(server));
    const answer = await handler(request as never, this.#contexts.make(peer));
    return (answer as { verdicts: string[] }).verdicts[0] ?? "";
  }
}
