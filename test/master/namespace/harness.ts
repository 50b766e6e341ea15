import assert from "node:assert/strict";
import type {
  Bootstrap,
  Command,
  NamespaceOperation,
  Outcome,
  VerifiedChunk,
} from "../../../master/namespace/command.ts";
import { encodeCommand } from "../../../master/namespace/command-encoding.ts";
import { Namespace } from "../../../master/namespace/namespace.ts";
import { errorOfRefused } from "../../../master/namespace/refused-answer.ts";
import type { AppliedEntry } from "../../../master/state-machine.ts";
import type {
  ChunkId,
  ClusterId,
  LogIndex,
  ServerId,
  SessionId,
  StagingId,
  Term,
} from "../../../shared/base/ids.ts";
import { createHasher } from "../../../shared/platform/hasher.ts";
import { MemoryStores } from "../../../shared/platform/memory-store.ts";
import type { OrderedStore } from "../../../shared/ports/ordered-store.ts";
import type { Attempt, Precondition, Target } from "../../../shared/protocol/namespace-api.ts";

export const { hasher } = createHasher({});

export const MIB = 1024 * 1024;
export const SECOND_MS = 1_000;
export const DAY_MS = 24 * 60 * 60 * SECOND_MS;
export const START_MS = 1_700_000_000_000;

export const BOOTSTRAP: Bootstrap = {
  kind: "bootstrap",
  nowMs: START_MS,
  clusterId: "c".repeat(32) as ClusterId,
  chunkKey: new Uint8Array(32).fill(7),
  defaultClass: { name: "standard", copies: 3, copiesMin: 2, racksMin: 2 },
  inlineBytesMax: 4096,
  historyRetentionMs: DAY_MS,
  intentLifetimeMs: 3600 * SECOND_MS,
  sessionIdleMsMax: 60 * SECOND_MS,
};

/** Returns the command that raises the feature level to `level`. */
export const raiseTo = (level: number): Command => ({
  ...{ kind: "raise-feature-level", level, enrolmentKey: new Uint8Array(32).fill(5) },
});

export const OWNER = { mode: 0o644, uid: 1000, gid: 1000 } as const;

/** Returns a path as a target. */
export const at = (path: string): Target => ({ path: new TextEncoder().encode(path) });

/** Returns the id of a server or a chunk with a short name of letters and digits: "s1", "a". */
export const serverId = (name: string): ServerId => digits(name, 32) as ServerId;
export const chunkId = (name: string): ChunkId => digits(name, 64) as ChunkId;

/** Returns the id of an unfinished upload with a short name. */
export const stagingId = (name: string): StagingId => digits(name, 32) as StagingId;

function digits(name: string, count: number): string {
  let hex = "";
  for (const character of name) hex += character.charCodeAt(0).toString(16).padStart(2, "0");
  return hex.padEnd(count, "0");
}

/** Returns a chunk for a commit, sealed by the servers. */
export function sealed(
  name: string,
  options: { lengthBytes?: number; servers?: readonly string[]; intentIndex?: number } = {},
): VerifiedChunk {
  const { lengthBytes = MIB, servers = ["s1", "s2", "s3"], intentIndex = 0 } = options;
  return {
    id: chunkId(name),
    lengthBytes,
    intentIndex: intentIndex as LogIndex,
    replicas: servers.map(serverId),
  };
}

/** Returns a content of these chunks, with a chunk size of 1 MiB. */
export function chunksContent(...chunks: readonly VerifiedChunk[]): {
  kind: "chunks";
  sizeBytes: number;
  chunkSizeBytes: number;
  chunks: readonly VerifiedChunk[];
} {
  const sizeBytes = chunks.reduce((sum, chunk) => sum + chunk.lengthBytes, 0);
  return { kind: "chunks", sizeBytes, chunkSizeBytes: MIB, chunks };
}

export const inline = (text: string): { kind: "inline"; bytes: Uint8Array } => ({
  kind: "inline",
  bytes: new TextEncoder().encode(text),
});

/** The state machine of one member: a namespace over a store, its log, and one client session. */
export class TestStateMachine {
  readonly log: AppliedEntry[] = [];
  store: OrderedStore;
  namespace: Namespace;
  nowMs = START_MS;
  sessionId = 0 as SessionId;
  #sequence = 0;

  private constructor(store: OrderedStore) {
    this.store = store;
    this.namespace = Namespace.open({ store, hasher });
  }

  /** Returns a state machine before its bootstrap. */
  static async empty(store?: OrderedStore): Promise<TestStateMachine> {
    return new TestStateMachine(store ?? (await new MemoryStores().open("state")));
  }

  /** Returns the state machine of a new cluster with a session: entries 1 and 2. */
  static async make(
    options: { store?: OrderedStore; bootstrap?: Partial<Bootstrap> } = {},
  ): Promise<TestStateMachine> {
    const machine = await TestStateMachine.empty(options.store);
    assertOk(machine.apply({ ...BOOTSTRAP, ...options.bootstrap }));
    machine.openSession();
    return machine;
  }

  /** Opens a session and uses it for the following mutations. */
  openSession(): SessionId {
    const outcome = this.apply({ kind: "open-session", nowMs: this.nowMs, clientName: "test" });
    assertOk(outcome);
    this.sessionId = outcome.index as number as SessionId;
    this.#sequence = 0;
    return this.sessionId;
  }

  /** Closes the session of the mutations. */
  closeSession(): void {
    const { sessionId, nowMs } = this;
    assertOk(this.apply({ kind: "close-session", nowMs, sessionId }));
  }

  get index(): LogIndex {
    return this.namespace.appliedIndex;
  }

  /** Appends the encoded command to the log and applies it. */
  apply(command: Command): Outcome {
    const outcome = this.applyData(encodeCommand(command));
    assert.ok(outcome !== null);
    return outcome;
  }

  /** Appends an entry with these bytes to the log and applies it. */
  applyData(data: Uint8Array, membership: Uint8Array | null = null): Outcome | null {
    const index = (this.index + 1) as LogIndex;
    const entry: AppliedEntry = { index, term: 1 as Term, data, membership };
    this.log.push(entry);
    return this.namespace.apply(entry);
  }

  /** Returns the attempt of a new mutation. It acknowledges all earlier mutations. */
  nextAttempt(): Attempt {
    this.#sequence += 1;
    const sequence = this.#sequence;
    return { sessionId: this.sessionId, sequence, firstUnacknowledged: sequence };
  }

  /** Applies a transaction as a new mutation. */
  transact(
    operations: readonly NamespaceOperation[],
    preconditions: readonly Precondition[] = [],
  ): Outcome {
    const { nowMs } = this;
    const attempt = this.nextAttempt();
    return this.apply({ kind: "transact", nowMs, attempt, preconditions, operations });
  }

  /** Applies a transaction that must succeed. @returns its index */
  run(...operations: readonly NamespaceOperation[]): LogIndex {
    const outcome = this.transact(operations);
    assertOk(outcome);
    return outcome.index;
  }

  /** Applies reclaim steps until none is pending. @returns the number of steps */
  reclaimAll(recordsMax = 1000): number {
    let steps = 0;
    while (this.namespace.reclaimPending(this.nowMs)) {
      assertOk(this.apply({ kind: "reclaim", nowMs: this.nowMs, recordsMax }));
      steps += 1;
      assert.ok(steps < 100_000, "reclaim ends after a bounded number of steps");
    }
    return steps;
  }

  /** Advances the time past the retention and reclaims everything that is not visible. */
  expireAndReclaim(recordsMax = 1000): number {
    let steps = 0;
    for (let round = 0; round < 3; round += 1) {
      this.nowMs += 2 * DAY_MS;
      steps += this.reclaimAll(recordsMax);
    }
    return steps;
  }

  /** Simulates a crash without a flush: opens the store again and replays the log. */
  restart(): void {
    this.namespace = Namespace.open({ store: this.store, hasher });
    const { index } = this.namespace.durable;
    for (const entry of this.log.slice(index)) this.namespace.apply(entry);
  }
}

export function assertOk(outcome: Outcome): asserts outcome is Extract<Outcome, { ok: true }> {
  assert.ok(outcome.ok, outcome.ok ? "" : `${outcome.code}: ${messageOf(outcome)}`);
}

/** Returns the message that a client gets for a refusal, or "". */
export const messageOf = (outcome: Outcome): string =>
  outcome.ok ? "" : errorOfRefused(outcome).message;

/** Returns the code of a refusal, or "ok". */
export const codeOf = (outcome: Outcome): string => (outcome.ok ? "ok" : outcome.code);

/** Returns every row of a store as a hex line. Stores with equal states have equal dumps. */
export function dump(store: OrderedStore): string[] {
  const range = { start: Uint8Array.of(0), end: Uint8Array.of(255) };
  const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
  return [...store.range(range)].map(({ key, value }) => `${hex(key)} ${hex(value)}`);
}
