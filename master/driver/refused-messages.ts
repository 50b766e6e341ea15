import { AshlarError } from "../../shared/base/errors.ts";
import type { LogIndex, MemberId, Term } from "../../shared/base/ids.ts";
import { LogPace } from "../../shared/flow/log-pace.ts";
import type { Clock } from "../../shared/ports/clock.ts";
import type { Log } from "../../shared/ports/log.ts";
import type { ReplicationRefusal } from "../consensus.ts";
import { entriesLost } from "../lost-entries.ts";
import type { Violation } from "../raft/check-message.ts";
import type { Message } from "../raft/messages.ts";
import type { RaftNode } from "../raft/raft.ts";

/** The messages of a member count as refused after this time in which replication made no progress. */
const REFUSED_MS_MIN = 10_000;
/** A refusal is over after this time without a refused message. */
const QUIET_MS_MAX = 10_000;

/** Dependencies of RefusedMessages. */
export interface RefusedMessagesOptions {
  readonly clock: Clock;
  readonly log: Log;
  readonly node: Pick<RaftNode, "status">;
  /** Called when this member has lost entries that it had acknowledged. It must step no further message. */
  readonly onLogLost: (error: AshlarError) => void;
  /** Called with the error of all reads when the leader has another history than this member. */
  readonly onContradiction: (error: AshlarError) => void;
}

/** The refused messages of one member, without a pause of QUIET_MS_MAX. */
interface Episode {
  /** Time of the first refused message since the last progress. */
  beganMs: number;
  lastMs: number;
  reason: string;
  /** See `#progressOf`. */
  progress: LogIndex;
}

/**
 * Logs the messages that the core has refused, and stops the member if one shows that acknowledged
 * entries are lost. Detects that replication with a member has ended because its messages are refused.
 */
export class RefusedMessages {
  readonly #options: RefusedMessagesOptions;
  /** `term` is null if it lasts until the process ends. */
  #contradiction: { readonly term: Term | null; readonly error: AshlarError } | null = null;
  readonly #episodes = new Map<MemberId, Episode>();
  /** A member repeats a refused message at each heartbeat. */
  readonly #pace: LogPace<MemberId>;

  constructor(options: RefusedMessagesOptions) {
    this.#options = options;
    this.#pace = new LogPace(options.clock);
  }

  note(message: Message, { kind, reason }: Violation): void {
    const { clock } = this.#options;
    const from = "from" in message ? message.from : message.to;
    const text = `Cannot accept ${message.kind} of member ${from}: ${reason}`;
    const nowMs = clock.monotonicMs();
    const episode = this.#episodeOf(from, nowMs);
    episode.reason = reason;
    episode.lastMs = nowMs;
    const unloggedCount = this.#pace.admit(from);
    if (unloggedCount !== null) this.#log(text, unloggedCount);
    const { term } = this.#options.node.status();
    if (kind === "contradiction") this.#noteContradiction(reason, term);
    if (kind === "leader-differs") this.#noteContradiction(reason, null);
    if (kind === "log-lost") this.#options.onLogLost(entriesLost(text));
  }

  /**
   * Returns why the messages of a member are refused. Null unless they have been refused for
   * REFUSED_MS_MIN without progress: a member that is slow or silent is not refused.
   */
  refusalOf(member: MemberId): ReplicationRefusal | null {
    const episode = this.#episodes.get(member);
    if (episode === undefined) return null;
    const nowMs = this.#options.clock.monotonicMs();
    const forMs = nowMs - episode.beganMs;
    const isOver = nowMs - episode.lastMs >= QUIET_MS_MAX;
    if (isOver || forMs < REFUSED_MS_MIN) return null;
    if (episode.progress !== this.#progressOf(member)) return null;
    return { forMs: Math.round(forMs), reason: episode.reason };
  }

  /** The error of all reads while the leader has another history than this member. Else null. */
  get contradiction(): AshlarError | null {
    const found = this.#contradiction;
    if (found === null) return null;
    const isCurrent = found.term === null || found.term === this.#options.node.status().term;
    return isCurrent ? found.error : null;
  }

  #noteContradiction(reason: string, term: Term | null): void {
    const error = new AshlarError(
      "UNAVAILABLE",
      `Cannot confirm a read: this master does not follow the leader: ${reason}`,
    );
    if (this.#contradiction?.term !== null) this.#contradiction = { term, error };
    this.#options.onContradiction(error);
  }

  #episodeOf(member: MemberId, nowMs: number): Episode {
    for (const [id, { lastMs }] of this.#episodes) {
      if (nowMs - lastMs < QUIET_MS_MAX) continue;
      this.#episodes.delete(id);
      this.#pace.forget(id);
    }
    const progress = this.#progressOf(member);
    let episode = this.#episodes.get(member);
    if (episode === undefined) {
      const begin = { beganMs: nowMs, lastMs: nowMs, reason: "" };
      episode = { ...begin, progress };
      this.#episodes.set(member, episode);
    } else if (episode.progress !== progress) {
      episode.progress = progress;
      episode.beganMs = nowMs;
    }
    return episode;
  }

  /**
   * Returns the index that grows while replication with `member` works: on the leader the matching
   * index of the member, on another member its own commit index.
   */
  #progressOf(member: MemberId): LogIndex {
    const { progress, committedIndex } = this.#options.node.status();
    return progress.find(({ id }) => id === member)?.matchIndex ?? committedIndex;
  }

  #log(text: string, unloggedCount: number): void {
    // A plain error: either a master has a bug, or the process is no master of this cluster.
    const fields = { error: new Error(text), unloggedCount };
    this.#options.log.error("Refused a message of another master", fields);
  }
}
