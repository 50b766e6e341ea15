import { type ErrorCode, isAshlarError } from "../../shared/base/errors.ts";
import { areSameMembers, type MemberId, type Term } from "../../shared/base/ids.ts";
import { Deferred } from "../../shared/flow/deferred.ts";
import type { Clock } from "../../shared/ports/clock.ts";
import type { Log } from "../../shared/ports/log.ts";
import type { IncarnationRegister } from "./member-storage.ts";
import type { MemberRecord } from "./membership-record.ts";
import { originProblem } from "./origin.ts";
import type { HandshakeReply, OwnIdentity } from "./peer-handshake.ts";

/** Time after the start before a member that waits says so in its log, in milliseconds. */
const QUIET_MS = 3_000;
const HINT_EMPTY = "If a founder cannot be started: ashlar master --found-without ID on all others";
const HINT_RESTORED =
  "If a member cannot be restored: restore all others again, without it in members";
const HINT_USED =
  "Restore its old data directory, or replace this master: ashlar master remove ID, start it with --join true, ashlar master add ID=HOST:PORT";

/** Dependencies and settings of a Founding. */
export interface FoundingOptions {
  readonly own: OwnIdentity;
  /**
   * The founders, by ascending id: the members by the config, or those of the restored state. Empty for a
   * member that joins a cluster.
   */
  readonly founders: readonly MemberId[];
  /**
   * Whether this member has neither voted nor stored an entry since its directory was created or restored
   * from a backup.
   */
  readonly isUnused: boolean;
  /** Term of the founders until the first election. */
  readonly term: Term;
  readonly incarnations: IncarnationRegister;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * Decides when a founder with an unused directory takes part in the group (docs/decisions/0013): an empty one, or
 * one that was restored from a backup.
 *
 * It takes part when it has seen all founders, each unused, of the same restore if there is one, and with the same
 * list of founders, in two rounds: after the first it records their incarnations durably, and the second starts after
 * that. Or it takes part when a member that takes part knows its incarnation. Until then it does
 * not campaign, vote or store entries. A member that is not unused takes part from its start, and so
 * does one that joins: it has no vote.
 *
 * Invariant: if founder A took part before founder B lost its directory, no founder that has seen the
 * new directory of B founds a cluster. To do so it would have to see A unused in its second round,
 * which starts after that, and A is not unused.
 */
export class Founding {
  readonly #options: FoundingOptions;
  readonly #startMs: number;
  /** The founders that agree, with their incarnations. */
  readonly #agreed = new Map<MemberId, string>();
  /** The incarnations that this member has recorded durably. Empty before the first round. */
  #recorded: ReadonlyMap<MemberId, string> = new Map();
  /** Why each other founder does not agree yet. */
  readonly #problems = new Map<MemberId, string>();
  /** The founders that have called this member, with their incarnations. */
  readonly #callers = new Map<MemberId, string>();
  readonly #opened = new Deferred<void>();
  #isOpen: boolean;
  #isRecording = false;
  #round = 1;
  #onPoke: () => void = () => {};
  #logged = "";

  constructor(options: FoundingOptions) {
    this.#options = options;
    this.#startMs = options.clock.monotonicMs();
    this.#isOpen = !options.isUnused || options.founders.length === 0;
    for (const id of this.#others) this.#problems.set(id, "no answer");
  }

  /** Whether this member takes part in the group. */
  get isOpen(): boolean {
    return this.#isOpen;
  }

  /**
   * Resolves when an unused founder begins to take part. Never resolves for a member that takes part
   * from its start.
   */
  get opened(): Promise<void> {
    return this.#opened.promise;
  }

  /** The current round. Pass the value from before a handshake to `noteReply`. */
  get round(): number {
    return this.#round;
  }

  /** The founders of the next cluster. Undefined once this member takes part. */
  get founders(): readonly MemberId[] | undefined {
    return this.#isOpen ? undefined : this.#options.founders;
  }

  /** Why this member does not take part yet. Null if it does. */
  get reason(): string | null {
    if (this.#isOpen) return null;
    const problems = [...this.#problems].map(([id, problem]) => `member ${id}: ${problem}`);
    return `waits for all founders: ${problems.join("; ")}`;
  }

  /** Whether this member is the founder that need not wait for its election timeout. */
  get isFirst(): boolean {
    return this.#options.founders[0] === this.#options.own.memberId;
  }

  /** Term of the founders until the first election. */
  get term(): Term {
    return this.#options.term;
  }

  /** The founders with their incarnations, for entry 1. Their addresses stay in the configs. */
  get records(): readonly MemberRecord[] {
    const { own, founders, incarnations } = this.#options;
    return founders.map((id) => {
      const known = id === own.memberId ? own.incarnation : incarnations.incarnationOf(id);
      return { id, address: "", incarnation: known ?? "" };
    });
  }

  /** Sets the function that makes the links to the peers repeat their handshakes now. */
  onPoke(listener: () => void): void {
    this.#onPoke = listener;
  }

  /** Begins to take part if this member is the only founder. */
  start(): void {
    if (!this.#isOpen && this.#others.length === 0) this.#open();
  }

  /** Records that `peer` has called. The links then repeat their handshakes, once per directory. */
  noteCaller(peer: MemberId, incarnation: string): void {
    if (this.#isOpen || this.#callers.get(peer) === incarnation) return;
    this.#callers.set(peer, incarnation);
    if (this.#agreed.get(peer) !== incarnation) this.#agreed.delete(peer);
    this.#onPoke();
  }

  /** Records that a member that takes part sends messages to this member. */
  noteMessages(): void {
    if (!this.#isOpen) this.#onPoke();
  }

  /**
   * Evaluates the handshake reply of a founder. A reply of an earlier round has no effect.
   *
   * @throws {AshlarError} DISK_FAILED, NO_SPACE
   */
  async noteReply(peer: MemberId, reply: HandshakeReply, round: number): Promise<void> {
    if (this.#isOpen || this.#isRecording || round !== this.#round) return;
    const problem = this.#problemOf(reply);
    if (problem !== null) {
      this.#agreed.delete(peer);
      this.#problems.set(peer, problem);
      return;
    }
    this.#problems.delete(peer);
    if (reply.founders === undefined) {
      await this.#admit(peer, reply);
      return;
    }
    this.#agreed.set(peer, reply.incarnation);
    if (this.#others.every((id) => this.#agreed.has(id))) await this.#endRound();
  }

  /** Records a failed handshake. A refusal of this directory is logged with the way out. */
  noteFailure(peer: MemberId, error: unknown): void {
    if (this.#isOpen) return;
    this.#agreed.delete(peer);
    this.#callers.delete(peer);
    const isRefused =
      isAshlarError(error, "WRONG_IDENTITY") &&
      error.details["memberId"] === this.#options.own.memberId;
    this.#problems.set(
      peer,
      isRefused ? "knows this master with another directory" : causeOf(error),
    );
    if (isRefused) {
      this.#logOnce("error", `This master ${this.#kind} and was in the cluster before`, {
        peer,
        hint: HINT_USED,
      });
    }
  }

  /** Logs why this member waits, once for each reason. */
  onTick(nowMs: number): void {
    const { reason } = this;
    if (reason === null || nowMs - this.#startMs < QUIET_MS) return;
    this.#logOnce("warn", `This master ${this.#kind} and does not take part yet`, {
      reason,
      hint: this.#isRestored ? HINT_RESTORED : HINT_EMPTY,
    });
  }

  /** Whether the directory was restored from a backup. */
  get #isRestored(): boolean {
    return this.#options.own.origin() !== undefined;
  }

  get #kind(): string {
    return this.#isRestored ? "was restored from a backup" : "has an empty directory";
  }

  get #others(): readonly MemberId[] {
    const { own, founders } = this.#options;
    return founders.filter((id) => id !== own.memberId);
  }

  /** Returns why a founder with this reply does not let this member take part, or null. */
  #problemOf(reply: HandshakeReply): string | null {
    const { own, founders } = this.#options;
    if (reply.founders !== undefined) {
      const problem = originProblem(own.origin(), reply.origin);
      if (problem !== null) return problem;
      if (areSameMembers(reply.founders, founders)) return null;
      return `founds with members ${reply.founders.join(", ")}, this master with ${founders.join(", ")}`;
    }
    if (!reply.isMember) return "its cluster was founded without this master, or removed it";
    const isOldVersion = reply.members.every(({ incarnation }) => incarnation === undefined);
    if (isOldVersion && !this.#isRestored) {
      return reply.appliedIndex > 0 ? null : "is empty and runs version 0.1.0: upgrade it";
    }
    const known = reply.members.find(({ id }) => id === own.memberId)?.incarnation;
    return known === own.incarnation ? null : "does not know this master";
  }

  /** Takes part in a cluster that exists, with the incarnations that its member `peer` knows. */
  async #admit(peer: MemberId, reply: HandshakeReply): Promise<void> {
    const known = new Map([[peer, reply.incarnation]]);
    for (const { id, incarnation } of reply.members) {
      if (incarnation !== undefined && this.#others.includes(id)) known.set(id, incarnation);
    }
    await this.#record(known);
    this.#open();
  }

  /** All founders agree. The second round in which they have the same incarnations is the last. */
  async #endRound(): Promise<void> {
    const isConfirmed = this.#others.every((id) => this.#recorded.get(id) === this.#agreed.get(id));
    if (isConfirmed) {
      this.#open();
      return;
    }
    await this.#record(new Map(this.#agreed));
    this.#round += 1;
    this.#agreed.clear();
    this.#onPoke();
  }

  async #record(incarnations: ReadonlyMap<MemberId, string>): Promise<void> {
    this.#isRecording = true;
    try {
      await this.#options.incarnations.record(incarnations);
      this.#recorded = incarnations;
    } finally {
      this.#isRecording = false;
    }
  }

  #open(): void {
    this.#isOpen = true;
    this.#opened.resolve();
    this.#onPoke();
  }

  #logOnce(
    level: "warn" | "error",
    message: string,
    fields: Readonly<Record<string, unknown>>,
  ): void {
    const text = `${message} ${JSON.stringify(fields)}`;
    if (text === this.#logged) return;
    this.#logged = text;
    this.#options.log[level](message, fields);
  }
}

/** Errors of a peer that is not there, or not reached. All others are answers. */
const NO_ANSWER: ReadonlySet<string> = new Set<ErrorCode>([
  "UNAVAILABLE",
  "CONNECTION_LOST",
  "DEADLINE_EXCEEDED",
  "CANCELLED",
]);

function causeOf(error: unknown): string {
  if (!isAshlarError(error) || NO_ANSWER.has(error.code)) return "no answer";
  return `${error.code}: ${error.message}`;
}
