import { AshlarError } from "../../shared/base/errors.ts";
import type { LogIndex } from "../../shared/base/ids.ts";
import type { Clock } from "../../shared/ports/clock.ts";
import type { Hasher } from "../../shared/ports/hasher.ts";
import type { Received, Stream } from "../../shared/wire/rpc.ts";
import { decodeMessages } from "../raft/message-encoding.ts";
import type { PeerMessage } from "../raft/messages.ts";
import type { StateMachine } from "../state-machine.ts";
import { serveState } from "./fetch-state.ts";
import type { PeerRegister } from "./member-storage.ts";
import { checkSender, type Envelope, type OwnIdentity } from "./peer-greeting.ts";
import type { SnapshotHead } from "./snapshot-parts.ts";
import type { SnapshotOpening, SnapshotReceiver } from "./snapshot-receiver.ts";

type Nothing = Record<string, never>;
type AnyStream = Pick<Stream<unknown, unknown>, "cancel">;
type FetchStream = Parameters<typeof serveState>[0];

export interface PeerServiceOptions {
  readonly own: OwnIdentity;
  readonly register: PeerRegister;
  readonly clock: Clock;
  readonly hasher: Hasher;
  readonly machine: () => StateMachine;
  readonly receiver: SnapshotReceiver;
  readonly partBytes: number;
  readonly stallMs: number;
  readonly deliver: (messages: readonly PeerMessage[]) => void;
}

/** What this member answers to its peers. Every sender is checked before it is listened to. */
export class PeerService {
  readonly #options: PeerServiceOptions;
  readonly #streams = new Set<AnyStream>();
  /** Those that read the state, with the promise that ends when they do not any more. */
  readonly #stateStreams = new Map<AnyStream, Promise<void>>();
  #stopped: AshlarError | null = null;

  constructor(options: PeerServiceOptions) {
    this.#options = options;
  }

  /** Ends all streams, so that a server that closes need not wait for them. */
  stop(): void {
    this.#stopped = new AshlarError("UNAVAILABLE", "This member stops");
    for (const stream of this.#streams) stream.cancel(this.#stopped);
  }

  async hello(
    envelope: Envelope,
  ): Promise<{ memberId: OwnIdentity["memberId"]; incarnation: string }> {
    const { memberId, incarnation } = this.#options.own;
    await this.#check(envelope);
    return { memberId, incarnation };
  }

  /** Takes Raft messages until the stream ends. */
  async messages(envelope: Envelope, stream: Stream<Nothing, Nothing>): Promise<void> {
    await this.#check(envelope);
    await this.#during(stream, async () => {
      for (;;) {
        const received = await stream.receive();
        if (received === null) break;
        this.#options.deliver(this.#decode(envelope, received));
      }
      stream.end();
    });
  }

  async snapshot(
    opening: Envelope & SnapshotOpening,
    stream: Stream<{ kind: "installed"; index: LogIndex }, SnapshotHead>,
  ): Promise<void> {
    await this.#check(opening);
    await this.#during(stream, () => this.#options.receiver.receive(opening, stream));
  }

  async fetchState(
    opening: Envelope & { readonly indexMin: LogIndex },
    stream: FetchStream,
  ): Promise<void> {
    await this.#check(opening);
    const { indexMin } = opening;
    const machine = this.#options.machine();
    const served = serveState(stream, { ...this.#options, machine, indexMin });
    this.#stateStreams.set(stream, served);
    try {
      await this.#during(stream, () => served);
    } finally {
      this.#stateStreams.delete(stream);
    }
  }

  /** Nobody reads the state here when it resolves: it is about to be replaced or closed. */
  async releaseState(): Promise<void> {
    const error = new AshlarError("UNAVAILABLE", "The state is being replaced");
    for (const stream of this.#stateStreams.keys()) stream.cancel(error);
    await Promise.allSettled(this.#stateStreams.values());
  }

  async #check(envelope: Envelope): Promise<void> {
    const { own, register } = this.#options;
    await checkSender(own, register, envelope);
    if (this.#stopped !== null) throw this.#stopped;
  }

  async #during(stream: AnyStream, work: () => Promise<void>): Promise<void> {
    this.#streams.add(stream);
    try {
      await work();
    } finally {
      this.#streams.delete(stream);
    }
  }

  #decode(envelope: Envelope, received: Received<unknown>): readonly PeerMessage[] {
    // The entries live on in the log, the slab does not.
    const body = received.body.slice();
    received.release();
    const messages = decodeMessages(body);
    for (const message of messages) {
      if (message.from !== envelope.from || message.to !== envelope.to) {
        throw new AshlarError(
          "PROTOCOL_ERROR",
          `Cannot take a message from ${message.from} to ${message.to}: the stream is from ${envelope.from} to ${envelope.to}`,
        );
      }
      if (message.kind === "snapshot-request") {
        throw new AshlarError(
          "PROTOCOL_ERROR",
          "Cannot take a snapshot here: it has its own stream",
        );
      }
    }
    return messages;
  }
}
