import type { LogIndex, MemberId } from "../../shared/base/ids.ts";
import type { ConsensusStatus, MemberAddress } from "../consensus.ts";
import type { MembershipChange } from "../raft/membership-change.ts";
import type { Membership } from "../raft/messages.ts";
import type { StateMachine } from "../state-machine.ts";
import type { IncarnationRegister } from "./member-storage.ts";
import {
  decodeMemberRecords,
  decodeMembershipRecord,
  encodeMembershipRecord,
  type MemberRecord,
  type MembershipRecord,
  memberIdsOf,
  memberRecordsAfter,
} from "./membership-record.ts";

export interface MembershipStateOptions {
  readonly ownId: MemberId;
  /** From the config. They count for members of whom the log says nothing. */
  readonly configured: readonly MemberAddress[];
  readonly founders: Membership;
  readonly incarnations: IncarnationRegister;
}

/** What a peer answers when it is greeted: whether it counts us in, and who it counts in. */
export interface PeerMembershipReport {
  readonly isMember: boolean;
  readonly appliedIndex: LogIndex;
  readonly members: readonly MemberAddress[];
}

/**
 * Who takes part, as of the entries that are applied here, where they listen, and which incarnation
 * of each counts.
 *
 * Invariant: what it encodes follows from the log alone, so that all members store the same.
 */
export class MembershipState {
  readonly #options: MembershipStateOptions;
  readonly #listeners: Array<() => void> = [];
  #record: MembershipRecord;
  /** Of `#record`; asked for with every request. */
  #members: readonly MemberAddress[] = [];
  #masters: readonly string[] = [];
  /** The latest word of a peer that does not count us in; null: none. */
  #exclusionReport: PeerMembershipReport | null = null;

  /** @param stored what the state holds: empty before the first entry. */
  constructor(options: MembershipStateOptions, stored: Uint8Array) {
    this.#options = options;
    this.#record = this.#decode(stored);
    this.#refresh();
  }

  get membership(): Membership {
    return this.#record.membership;
  }

  /** Told after every change of the membership. */
  onChange(listener: () => void): void {
    this.#listeners.push(listener);
  }

  isMember(id: MemberId): boolean {
    return this.#members.some((each) => each.id === id);
  }

  addressOf(id: MemberId): string | null {
    const { configured } = this.#options;
    const entry = this.#record.members.find((each) => each.id === id);
    return entry?.address ?? configured.find((each) => each.id === id)?.address ?? null;
  }

  /** All members, by ascending id. */
  get members(): readonly MemberAddress[] {
    return this.#members;
  }

  /** Those to talk to: the members, or before this one knows any those of its config. */
  get peers(): readonly MemberAddress[] {
    const { ownId, configured } = this.#options;
    const all = this.members.length === 0 ? configured : this.members;
    return all.filter((each) => each.id !== ownId);
  }

  /** What the log is to say of all members once `added` are among them. */
  recordsWith(added: readonly MemberRecord[]): readonly MemberRecord[] {
    const known = this.members.map(({ id, address }) => {
      const entry = this.#record.members.find((each) => each.id === id);
      return entry ?? { id, address, incarnation: "" };
    });
    return [...known, ...added].sort((left, right) => left.id - right.id);
  }

  /** The first entry is applied. @returns what to store. */
  encode(): Uint8Array {
    return encodeMembershipRecord(this.#record);
  }

  /** `change` is applied and made `membership`. @returns what to store. */
  applyChange(change: MembershipChange, membership: Membership): Uint8Array {
    const members = memberRecordsAfter(
      this.#record.members,
      decodeMemberRecords(change.context),
      membership,
    );
    this.#setRecord({ membership, members });
    return encodeMembershipRecord(this.#record);
  }

  /** A snapshot took the place of the state. */
  replace(stored: Uint8Array): void {
    this.#setRecord(this.#decode(stored));
  }

  /** A peer has said how it sees us. */
  notePeerReport(view: PeerMembershipReport): void {
    if (!view.isMember) {
      const isLater = view.appliedIndex >= (this.#exclusionReport?.appliedIndex ?? 0);
      if (isLater) this.#exclusionReport = view;
    }
  }

  /**
   * Whether this member counts. A peer that does not count us in is right if it has applied at
   * least as much as we have: a removal may be all that we have missed.
   */
  memberPhase(appliedIndex: LogIndex): ConsensusStatus["memberPhase"] {
    if (this.members.length === 0) return "joining";
    if (!this.isMember(this.#options.ownId)) return "removed";
    const isOutdated =
      this.#exclusionReport !== null && this.#exclusionReport.appliedIndex >= appliedIndex;
    return isOutdated ? "removed" : "member";
  }

  /** Addresses of the masters, from whoever knows best. */
  masterAddresses(appliedIndex: LogIndex): readonly string[] {
    if (this.memberPhase(appliedIndex) === "member") return this.#masters;
    return addressesOf(this.#exclusionReport?.members ?? this.peers);
  }

  #decode(stored: Uint8Array): MembershipRecord {
    if (stored.length > 0) return decodeMembershipRecord(stored);
    return { membership: this.#options.founders, members: [] };
  }

  #setRecord(record: MembershipRecord): void {
    this.#record = record;
    this.#refresh();
    for (const listener of this.#listeners) listener();
  }

  #refresh(): void {
    this.#members = memberIdsOf(this.membership).map((id) => ({
      id,
      address: this.addressOf(id) ?? "",
    }));
    this.#masters = addressesOf(this.#members);
    this.#adoptIncarnations();
  }

  /** The log decides which incarnation counts: a member that was added again is another one. */
  #adoptIncarnations(): void {
    const { ownId, incarnations } = this.#options;
    for (const { id, incarnation } of this.#record.members) {
      if (id !== ownId && incarnation !== "") incarnations.adopt(id, incarnation);
    }
  }
}

function addressesOf(members: readonly MemberAddress[]): readonly string[] {
  return members.map((each) => each.address).filter((address) => address !== "");
}

/** The membership beside the durable state, as it is stored: empty before the first entry. */
export function durableMembership(machine: StateMachine): Uint8Array {
  const snapshot = machine.openSnapshot();
  try {
    return snapshot.membership;
  } finally {
    snapshot.release();
  }
}
