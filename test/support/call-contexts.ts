import { AshlarError } from "../../shared/base/errors.ts";
import type { Clock } from "../../shared/ports/clock.ts";
import type { CallContext, PeerIdentity } from "../../shared/wire/rpc.ts";
import { ServerCall } from "../../shared/wire/server-call.ts";
import { TurnSlices } from "../../shared/wire/turn-slices.ts";
import { CLIENT } from "./wire-fixture.ts";

const TIMEOUT_MS = 60_000;

/** The contexts of the calls of one server, for tests that call handlers directly. */
export class CallContexts {
  readonly #clock: Clock;
  readonly slices: TurnSlices;

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
      headBytes: 0,
      slices: this.slices,
      onExpired: (call) => call.abort(new AshlarError("DEADLINE_EXCEEDED", "The call has expired")),
    });
  }
}
