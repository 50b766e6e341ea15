import type { LogIndex, MemberId } from "../../shared/base/ids.ts";
import type { ConsensusStatus, MemberAddress } from "../consensus.ts";
import type { MembershipChange } from "../raft/membership-change.ts";
import type { Membership } from "../raft/messages.ts";
import type { StateMachine } from "../state-machine.ts";
import type { IncarnationRegister } from "./member-storage.ts";
import {
  decodeFounding,
  decodeMemberRecords,
  decodeMembershipRecord,
  encodeMembershipRecord,
  type MemberRecord,
  type MembershipRecord,
  memberIdsOf,
  memberRecordsAfter,
} from "./membership-record.ts";

/** Dependencies and settings of a MembershipState. */
export interface MembershipStateOptions {
  readonly ownId: MemberId;
  /** The addresses from the config. Used for members without a record in the log. */
  readonly configured: readonly MemberAddress[];
  /** The membership before the first entry. */
  readonly founders: Membership;
  readonly incarnations: IncarnationRegister;
}

/** The membership as a peer reports it in its handshake reply. */
export interface PeerMembershipReport {
  /** Whether this member is in the membership of the peer. */
  readonly isMember: boolean;
  /** The last index that the peer has applied. */
  readonly appliedIndex: LogIndex;
  readonly members: readonly MemberAddress[];
}

/**
 * The membership as of the applied entries, with the address and the current incarnation of each
 * member.
 *
 * Invariant: the encoded record is determined by the log alone, so all members store equal bytes.
 */
export class MembershipState {
  readonly #options: MembershipStateOptions;
  readonly #listeners: Array<() => void> = [];
  #record: MembershipRecord;
  /** The members and their addresses, derived from `#record`. Cached: every request reads them. */
  #members: readonly MemberAddress[] = [];
  #masters: readonly string[] = [];
  #learners: readonly string[] = [];
  /**
   * The latest report of a peer whose membership does not contain this member. Null if none exists.
   */
  #exclusionReport: PeerMembershipReport | null = null;

  /** @param stored the encoded record from the state: empty before the first entry */
  constructor(options: MembershipStateOptions, stored: Uint8Array) {
    this.#options = options;
    this.#record = this.#decode(stored);
    this.#refresh();
  }

  get membership(): Membership {
    return this.#record.membership;
  }

  /** Calls `listener` after every change of the membership. */
  onChange(listener: () => void): void {
    this.#listeners.push(listener);
  }

  isMember(id: MemberId): boolean {
    return this.#members.some((each) => each.id === id);
  }

  /** Returns the address of a member: from the log, else from the config, else null. */
  addressOf(id: MemberId): string | null {
    const { configured } = this.#options;
    const record = this.#record.members.find((each) => each.id === id);
    if (record !== undefined && record.address !== "") return record.address;
    return configured.find((each) => each.id === id)?.address ?? null;
  }

  /** All members, by ascending id. */
  get members(): readonly MemberAddress[] {
    return this.#members;
  }

  /** The other members. Before this member knows any member: the others in its config. */
  get peers(): readonly MemberAddress[] {
    const { ownId, configured } = this.#options;
    const all = this.members.length === 0 ? configured : this.members;
    return all.filter((each) => each.id !== ownId);
  }

  /** Returns the records of all current members and of the `added` ones, for the log. */
  recordsWith(added: readonly MemberRecord[]): readonly MemberRecord[] {
    const known = this.members.map(({ id, address }) => {
      const record = this.#record.members.find((each) => each.id === id);
      return { id, address, incarnation: record?.incarnation ?? "" };
    });
    return [...known, ...added].sort((left, right) => left.id - right.id);
  }

  /**
   * Applies the data of entry 1.
   *
   * @returns the encoded record to store
   * @throws {AshlarError} VERSION_MISMATCH
   */
  applyFounding(data: Uint8Array): Uint8Array {
    const founding = decodeFounding(data);
    if (founding !== null) this.#setRecord(founding);
    return encodeMembershipRecord(this.#record);
  }

  /** Applies `change`, whose result is `membership`. @returns the encoded record to store */
  applyChange(change: MembershipChange, membership: Membership): Uint8Array {
    const members = memberRecordsAfter(
      this.#record.members,
      decodeMemberRecords(change.context),
      membership,
    );
    this.#setRecord({ membership, members });
    return encodeMembershipRecord(this.#record);
  }

  /** Replaces the record by the one of an installed snapshot. */
  replace(stored: Uint8Array): void {
    this.#setRecord(this.#decode(stored));
  }

  /** Records the report of a peer if this member is not in the membership of the peer. */
  notePeerReport(report: PeerMembershipReport): void {
    if (report.isMember) return;
    const isLater = report.appliedIndex >= (this.#exclusionReport?.appliedIndex ?? 0);
    if (isLater) this.#exclusionReport = report;
  }

  /**
   * Returns whether this member waits to be added, is a member, or was removed. The report of a
   * peer that excludes this member is decisive if the peer has applied at least as many entries as
   * this member: the entries that this member lacks may contain its removal.
   */
  memberPhase(appliedIndex: LogIndex): ConsensusStatus["memberPhase"] {
    if (this.members.length === 0) return "joining";
    if (!this.isMember(this.#options.ownId)) return "removed";
    const isOutdated =
      this.#exclusionReport !== null && this.#exclusionReport.appliedIndex >= appliedIndex;
    return isOutdated ? "removed" : "member";
  }

  /**
   * Returns the addresses of the masters. If this member was removed or waits to be added, its own
   * membership is outdated or empty: the addresses then come from the latest report that excludes
   * it, or else from its config.
   */
  masterAddresses(appliedIndex: LogIndex): readonly string[] {
    if (this.memberPhase(appliedIndex) === "member") return this.#masters;
    return addressesOf(this.#exclusionReport?.members ?? this.peers);
  }

  /** Returns those of `masterAddresses` that are known not to vote. */
  learnerAddresses(appliedIndex: LogIndex): readonly string[] {
    return this.memberPhase(appliedIndex) === "member" ? this.#learners : [];
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

  /** Recomputes the values that are derived from `#record`. */
  #refresh(): void {
    this.#members = memberIdsOf(this.membership).map((id) => ({
      id,
      address: this.addressOf(id) ?? "",
    }));
    this.#masters = addressesOf(this.#members);
    const { learners } = this.membership;
    this.#learners = addressesOf(this.#members.filter(({ id }) => learners.includes(id)));
    this.#adoptIncarnations();
  }

  /**
   * Adopts the current incarnations from the log. A member that was removed and added again has a
   * new incarnation.
   */
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

/** Returns the encoded membership record of the durable state: empty before the first entry. */
export function durableMembership(machine: StateMachine): Uint8Array {
  const snapshot = machine.openSnapshot();
  try {
    return snapshot.membership;
  } finally {
    snapshot.release();
  }
}
