import { AshlarError } from "../../shared/base/errors.ts";
import type { LogIndex, MemberId } from "../../shared/base/ids.ts";
import type { Clock } from "../../shared/ports/clock.ts";
import type { Received, Stream } from "../../shared/wire/rpc.ts";
import type { MemberAddress } from "../consensus.ts";
import { decodeMessages } from "../raft/message-encoding.ts";
import type { PeerMessage } from "../raft/messages.ts";
import type { StateMachine } from "../state-machine.ts";
import { serveState } from "./fetch-state.ts";
import type { IncarnationRegister } from "./member-storage.ts";
import type { MembershipState } from "./membership-state.ts";
import {
  checkEnvelope,
  checkSender,
  type Envelope,
  type HandshakeReply,
  type OwnIdentity,
} from "./peer-handshake.ts";
import { type BackupStream, type ServeBackupOptions, serveBackup } from "./serve-backup.ts";
import type { SendPartsOptions, SnapshotHead } from "./snapshot-parts.ts";
import type { SnapshotOpening, SnapshotReceiver } from "./snapshot-receiver.ts";

type NoFields = Record<string, never>;
type AnyStream = Pick<Stream<unknown, unknown>, "cancel">;
type FetchStream = Parameters<typeof serveState>[0];

export interface PeerServiceOptions extends SendPartsOptions {
  readonly own: OwnIdentity;
  readonly incarnations: IncarnationRegister;
  readonly clock: Clock;
  readonly machine: () => StateMachine;
  readonly receiver: SnapshotReceiver;
  readonly stallMs: number;
  readonly membershipState: MembershipState;
  /** Whether this member holds nothing and would found a cluster. */
  readonly isFounding: () => boolean;
  /** Someone has said where it listens. */
  readonly onPeerAddress: (peer: MemberAddress) => void;
  readonly deliver: (messages: readonly PeerMessage[]) => void;
}

/** What this member answers to its peers. Every sender is checked before it is listened to. */
export class PeerService {
  readonly #options: PeerServiceOptions;
  /** Those that are open, and whose they are. */
  readonly #streams = new Map<AnyStream, MemberId>();
  /** Those that read the state, with the promise that ends when they do not any more. */
  readonly #stateStreams = new Map<AnyStream, Promise<void>>();
  #stopReason: AshlarError | null = null;

  constructor(options: PeerServiceOptions) {
    this.#options = options;
  }

  /** Ends all streams, so that a server that closes need not wait for them. */
  stop(): void {
    this.#stopReason = new AshlarError("UNAVAILABLE", "This member stops");
    for (const stream of this.#streams.keys()) stream.cancel(this.#stopReason);
  }

  /** Ends the streams of those who are no members: when they come again they are told. */
  closeNonMemberStreams(): void {
    const { membershipState } = this.#options;
    const error = new AshlarError("UNAVAILABLE", "The members have changed");
    for (const [stream, peer] of this.#streams) {
      if (!membershipState.isMember(peer)) stream.cancel(error);
    }
  }

  /** A stranger is told that it is one; which incarnation it has counts once it is added. */
  async hello(envelope: Envelope): Promise<HandshakeReply> {
    const { own, membershipState, incarnations, machine, isFounding, receiver } = this.#options;
    const isMember = membershipState.isMember(envelope.from);
    if (isMember) await checkSender(own, incarnations, envelope);
    else checkEnvelope(own, envelope);
    if (this.#stopReason !== null) throw this.#stopReason;
    return {
      memberId: own.memberId,
      incarnation: own.incarnation,
      isMember,
      appliedIndex: machine().appliedIndex,
      members: [...membershipState.members],
      isFounding: isFounding(),
      snapshotHeld: receiver.partial,
    };
  }

  /** Takes Raft messages until the stream ends. */
  async messages(envelope: Envelope, stream: Stream<NoFields, NoFields>): Promise<void> {
    await this.#check(envelope);
    const { incarnations } = this.#options;
    const { from, fromIncarnation, fromAddress } = envelope;
    if (fromAddress !== undefined) this.#options.onPeerAddress({ id: from, address: fromAddress });
    await this.#withStream(stream, from, async () => {
      for (;;) {
        const received = await stream.receive();
        if (received === null) break;
        const messages = this.#decode(envelope, received);
        // Another incarnation may count since the stream was opened.
        if (!incarnations.isCurrent(from, fromIncarnation)) await this.#check(envelope);
        this.#options.deliver(messages);
      }
      stream.end();
    });
  }

  async snapshot(
    opening: Envelope & SnapshotOpening,
    stream: Stream<{ kind: "installed"; index: LogIndex }, SnapshotHead>,
  ): Promise<void> {
    await this.#check(opening);
    await this.#withStream(stream, opening.from, () =>
      this.#options.receiver.receive(opening, stream),
    );
  }

  async fetchState(
    opening: Envelope & { readonly indexMin: LogIndex },
    stream: FetchStream,
  ): Promise<void> {
    await this.#check(opening);
    const { indexMin } = opening;
    const machine = this.#options.machine();
    const served = serveState(stream, { ...this.#options, machine, indexMin });
    await this.#withStateStream(stream, opening.from, served);
  }

  async #withStateStream(stream: AnyStream, peer: MemberId, served: Promise<void>): Promise<void> {
    this.#stateStreams.set(stream, served);
    try {
      await this.#withStream(stream, peer, () => served);
    } finally {
      this.#stateStreams.delete(stream);
    }
  }

  /** For clients: they are no peers and need not be checked. */
  async backup(stream: BackupStream, facts: ServeBackupOptions["facts"]): Promise<void> {
    if (this.#stopReason !== null) throw this.#stopReason;
    const machine = this.#options.machine();
    const served = serveBackup(stream, { ...this.#options, machine, facts });
    await this.#withStateStream(stream, this.#options.own.memberId, served);
  }

  /** Nobody reads the state here when it resolves: it is about to be replaced or closed. */
  async releaseState(): Promise<void> {
    const error = new AshlarError("UNAVAILABLE", "The state is being replaced");
    for (const stream of this.#stateStreams.keys()) stream.cancel(error);
    await Promise.allSettled(this.#stateStreams.values());
  }

  async #check(envelope: Envelope): Promise<void> {
    const { own, incarnations } = this.#options;
    await checkSender(own, incarnations, envelope);
    if (this.#stopReason !== null) throw this.#stopReason;
  }

  async #withStream(stream: AnyStream, peer: MemberId, work: () => Promise<void>): Promise<void> {
    this.#streams.set(stream, peer);
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
