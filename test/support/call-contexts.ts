import { AshlarError } from "../../shared/base/errors.ts";
import type { Clock } from "../../shared/ports/clock.ts";
import type { CallContext, PeerIdentity } from "../../shared/wire/rpc.ts";
import { ServerCall } from "../../shared/wire/server-call.ts";
import { Lane } from "../../shared/wire/turn-queue.ts";
import { TurnSlices } from "../../shared/wire/turn-slices.ts";
import { CLIENT } from "./wire-fixture.ts";

const TIMEOUT_MS = 60_000;

/** The contexts of the calls of one server on one connection of each role, for tests that call handlers directly. */
export class CallContexts {
  readonly #clock: Clock;
  readonly slices: TurnSlices;
  readonly #lanes = {
    client: new Lane("client"),
    chunkserver: new Lane("chunkserver"),
    master: new Lane("master"),
  };

  constructor(clock: Clock) {
    this.#clock = clock;
    this.slices = new TurnSlices(clock);
  }

  /** Returns the context of a new call of `peer`. */
  make(peer: PeerIdentity = CLIENT): CallContext {
    return this.makeCall(peer);
  }

  makeCall(peer: PeerIdentity = CLIENT): ServerCall {
    return new ServerCall({
      clock: this.#clock,
      peer,
      peerAddress: "client:1",
      deadlineMs: this.#clock.monotonicMs() + TIMEOUT_MS,
      memoryBytes: 0,
      slices: this.slices,
      lane: this.#lanes[peer.role],
      onExpired: (call) => call.abort(new AshlarError("DEADLINE_EXCEEDED", "The call has expired")),
    });
  }
}
