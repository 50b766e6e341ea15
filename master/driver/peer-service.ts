import { AshlarError, isAshlarError } from "../../shared/base/errors.ts";
import type { LogIndex, MemberId } from "../../shared/base/ids.ts";
import type { Clock } from "../../shared/ports/clock.ts";
import type { SnapshotReply } from "../../shared/protocol/raft-api.ts";
import type { Received, Stream } from "../../shared/wire/rpc.ts";
import type { MemberAddress } from "../consensus.ts";
import { decodeMessages } from "../raft/message-encoding.ts";
import type { PeerMessage } from "../raft/messages.ts";
import type { StateMachine } from "../state-machine.ts";
import { serveState } from "./fetch-state.ts";
import type { Founding } from "./founding.ts";
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
import type { PartsSettings, SendPartsOptions, SnapshotHead } from "./snapshot-parts.ts";
import type { SnapshotOpening, SnapshotReceiver } from "./snapshot-receiver.ts";

type NoFields = Record<string, never>;
type AnyStream = Pick<Stream<unknown, unknown>, "cancel">;
type FetchStream = Parameters<typeof serveState>[0];

/** Dependencies and settings of a PeerService. */
export interface PeerServiceOptions extends PartsSettings {
  readonly own: OwnIdentity;
  readonly incarnations: IncarnationRegister;
  readonly founding: Founding;
  readonly clock: Clock;
  readonly machine: () => StateMachine;
  readonly receiver: SnapshotReceiver;
  readonly stallMs: number;
  readonly membershipState: MembershipState;
  /** Returns whether this member has no entries and would found a new cluster. */
  readonly isFounding: () => boolean;
  /** Called with the address that a peer has named in its request. */
  readonly onPeerAddress: (peer: MemberAddress) => void;
  /** Hands messages to the Raft core. */
  readonly deliver: (messages: readonly PeerMessage[]) => void;
}

/** Maximum number of backups at the same time. Each keeps pages of an old state in the store. */
const BACKUPS_MAX = 16;

/** Serves the requests of the other members. Checks the sender before it processes a request. */
export class PeerService {
  readonly #options: PeerServiceOptions;
  /** The open streams, each with the member that opened it. */
  readonly #streams = new Map<AnyStream, MemberId>();
  /** The streams that read the state. Each promise settles when its stream no longer reads. */
  readonly #stateStreams = new Map<AnyStream, Promise<void>>();
  #backupCount = 0;
  /** The last messages of each founder, until this member takes part in the group. */
  readonly #held = new Map<
    MemberId,
    { readonly envelope: Envelope; readonly messages: readonly PeerMessage[] }
  >();
  /** The error with which requests are rejected after `stop`. */
  #stopReason: AshlarError | null = null;

  constructor(options: PeerServiceOptions) {
    this.#options = options;
  }

  /** Cancels all streams, so that closing the server does not wait for them. */
  stop(): void {
    this.#stopReason = new AshlarError("UNAVAILABLE", "This member is stopping");
    for (const stream of this.#streams.keys()) stream.cancel(this.#stopReason);
  }

  /**
   * Cancels the streams of removed members. They reconnect, and the handshake reports the removal.
   */
  closeNonMemberStreams(): void {
    const { membershipState } = this.#options;
    const error = new AshlarError("UNAVAILABLE", "The membership has changed");
    for (const [stream, peer] of this.#streams) {
      if (!membershipState.isMember(peer)) stream.cancel(error);
    }
  }

  /**
   * Answers the handshake. A process that is not a member receives `isMember: false`; its
   * incarnation is not checked, because the entry that adds it will set its incarnation.
   */
  async hello(envelope: Envelope): Promise<HandshakeReply> {
    const { own, membershipState, incarnations, machine, isFounding, receiver } = this.#options;
    const { founding } = this.#options;
    const isMember = membershipState.isMember(envelope.from);
    if (isMember && founding.isOpen) await checkSender(own, incarnations, envelope);
    else checkEnvelope(own, envelope);
    founding.noteCaller(envelope.from, envelope.fromIncarnation);
    if (this.#stopReason !== null) throw this.#stopReason;
    const { founders } = founding;
    const origin = own.origin();
    return {
      memberId: own.memberId,
      incarnation: own.incarnation,
      isMember,
      appliedIndex: machine().appliedIndex,
      members: founding.isOpen ? this.#membersWithIncarnations() : [...membershipState.members],
      ...(founders === undefined ? {} : { founders: [...founders] }),
      ...(origin === undefined ? {} : { origin }),
      isFounding: isFounding(),
      holdsSnapshotRows: receiver.holdsRows,
    };
  }

  #membersWithIncarnations(): HandshakeReply["members"] {
    const { own, membershipState, incarnations } = this.#options;
    return membershipState.members.map((member) => {
      const isOwn = member.id === own.memberId;
      const incarnation = isOwn ? own.incarnation : incarnations.incarnationOf(member.id);
      return incarnation === null ? member : { ...member, incarnation };
    });
  }

  /** Receives Raft messages until the stream ends. */
  async messages(envelope: Envelope, stream: Stream<NoFields, NoFields>): Promise<void> {
    const { incarnations, founding } = this.#options;
    let isChecked = founding.isOpen;
    if (isChecked) await this.#check(envelope);
    else checkEnvelope(this.#options.own, envelope);
    founding.noteMessages();
    const { from, fromIncarnation, fromAddress } = envelope;
    if (fromAddress !== undefined) this.#options.onPeerAddress({ id: from, address: fromAddress });
    await this.#withStream(stream, from, async () => {
      for (;;) {
        const received = await stream.receive();
        if (received === null) break;
        const messages = this.#decode(envelope, received);
        if (!founding.isOpen) {
          this.#hold(envelope, messages);
          continue;
        }
        // The current incarnation of the peer may have changed since the stream was opened.
        if (!isChecked || !incarnations.isCurrent(from, fromIncarnation)) {
          await this.#check(envelope);
        }
        isChecked = true;
        this.#options.deliver(messages);
      }
      stream.end();
    });
  }

  /** Keeps the latest messages of each founder only: the core repeats what is lost. */
  #hold(envelope: Envelope, messages: readonly PeerMessage[]): void {
    const isFounder = this.#options.founding.founders?.includes(envelope.from) === true;
    if (isFounder) this.#held.set(envelope.from, { envelope, messages });
  }

  /** Delivers the messages that arrived shortly before this member began to take part. */
  async deliverHeld(): Promise<void> {
    if (this.#stopReason !== null) return;
    const held = [...this.#held.values()];
    this.#held.clear();
    for (const { envelope, messages } of held) {
      try {
        await this.#check(envelope);
      } catch (error) {
        if (!isAshlarError(error)) throw error;
        continue; // The stream of this peer ends with the same error at its next message.
      }
      this.#options.deliver(messages);
    }
  }

  /** Receives a snapshot from the leader. */
  async snapshot(
    opening: Envelope & SnapshotOpening,
    stream: Stream<SnapshotReply, SnapshotHead>,
  ): Promise<void> {
    await this.#check(opening);
    await this.#withStream(stream, opening.from, () =>
      this.#options.receiver.receive(opening, stream),
    );
  }

  /** Sends the durable state to a peer that lost its own. */
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

  /** Sends a backup to a client. A client is no peer, so there is no sender to check. */
  async backup(
    stream: BackupStream,
    call: Pick<ServeBackupOptions, "headFields"> & Pick<SendPartsOptions, "turn">,
  ): Promise<void> {
    if (this.#stopReason !== null) throw this.#stopReason;
    if (this.#backupCount >= BACKUPS_MAX) {
      throw new AshlarError(
        "OVERLOADED",
        `Cannot start a backup: expected fewer than ${BACKUPS_MAX} backups that are read from this master`,
      );
    }
    const machine = this.#options.machine();
    const served = serveBackup(stream, { ...this.#options, ...call, machine });
    this.#backupCount += 1;
    try {
      await this.#withStateStream(stream, this.#options.own.memberId, served);
    } finally {
      this.#backupCount -= 1;
    }
  }

  /** Cancels the streams that read the state. Resolves when none of them reads any longer. */
  async releaseState(): Promise<void> {
    const error = new AshlarError("UNAVAILABLE", "The state is being replaced or closed");
    for (const stream of this.#stateStreams.keys()) stream.cancel(error);
    await Promise.allSettled(this.#stateStreams.values());
  }

  /**
   * @throws {AshlarError} if the sender is refused, this member is stopping, or it is an empty
   *   founder that does not take part yet
   */
  async #check(envelope: Envelope): Promise<void> {
    const { own, incarnations, founding } = this.#options;
    if (!founding.isOpen) {
      const reason = founding.reason ?? "";
      throw new AshlarError("UNAVAILABLE", `Cannot take part in the group: this master ${reason}`);
    }
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
    // Copied: the entries stay in the log, and the slab of the body is released here.
    const body = received.body.slice();
    received.release();
    const messages = decodeMessages(body);
    for (const message of messages) {
      if (message.from !== envelope.from || message.to !== envelope.to) {
        throw new AshlarError(
          "PROTOCOL_ERROR",
          `Cannot accept a message from ${message.from} to ${message.to}: the stream is from ${envelope.from} to ${envelope.to}`,
        );
      }
      if (message.kind === "snapshot-request") {
        throw new AshlarError(
          "PROTOCOL_ERROR",
          "Cannot accept a snapshot in the message stream: it needs a separate stream",
        );
      }
    }
    return messages;
  }
}
