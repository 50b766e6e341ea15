import { INDEX_NAME } from "../../../chunkserver/store/identity.ts";
import {
  chunkIdOfKey,
  chunkRecordKey,
  IDENTITY_KEY,
  lostKey,
} from "../../../chunkserver/store/index-keys.ts";
import type { Namespace } from "../../../master/namespace/namespace.ts";
import { equalBytes } from "../../../shared/base/bytes.ts";
import type { ChunkId, ServerId } from "../../../shared/base/ids.ts";
import type { StoreChange } from "../../../shared/ports/ordered-store.ts";
import type { HashedStore } from "./hashed-stores.ts";
import type { DiskImage } from "./simulated-process.ts";
import type { SimulatedChunkserver, SimulatedMaster } from "./simulated-servers.ts";
import type { SimulationEnvironment } from "./simulation-environment.ts";
import { Violation } from "./violation.ts";

/**
 * Time for which a lost copy still counts. The answer that lets a server delete its copy may be older
 * than the loss: the server paused before it read the answer, or its commit was slow.
 */
const LOST_GRACE_MS = 20_000;
/**
 * The same for the copies that are gone after the disk was set back: until the server has compared its index
 * twice, the second time after the intents of its receipts have expired.
 */
const SET_BACK_GRACE_MS = 60_000;
const PURGES_MAX = 100_000;
/** First byte of the keys of chunk records. */
const RECORD_TABLE = "C".charCodeAt(0);

/** The processes whose copies are checked, and what the checks need to know of the masters. */
export interface CopyChecksDeps {
  readonly chunkservers: readonly SimulatedChunkserver[];
  readonly masters: readonly SimulatedMaster[];
  /** Returns the highest index that a master has applied. */
  readonly committedIndex: () => number;
}

/** Returns whether a change of the index concerns a chunk record. */
export function isRecordChange({ key }: StoreChange): boolean {
  return key[0] === RECORD_TABLE;
}

/**
 * Checks every deletion of a chunk by a chunkserver: no good copy of a chunk that files refer to is
 * deleted while fewer than the wanted number of copies are proven, that is: recorded in the replicated
 * state, and in the index of their server. A purge is an exception: it was ordered when no file
 * referred to the chunk.
 */
export class CopyChecks {
  readonly #environment: SimulationEnvironment;
  readonly #deps: CopyChecksDeps;
  /** By server and chunk: when the copy was lost, in virtual time. */
  readonly #lostMs = new Map<string, number>();

  constructor(environment: SimulationEnvironment, deps: CopyChecksDeps) {
    this.#environment = environment;
    this.#deps = deps;
    for (const server of deps.chunkservers) {
      server.stores.onCommitted = (_name, _store, changes) => this.#onChanged(server, changes);
    }
  }

  /**
   * Returns the most advanced state. Null if no running master has it, or if a master with a corrupt
   * row could have changed the answers of the masters.
   */
  state(): Namespace | null {
    let best: Namespace | null = null;
    for (const { running, isUp } of this.#deps.masters) {
      const namespace = isUp ? running?.master.namespace() : undefined;
      if (namespace === undefined) continue;
      if (best === null || namespace.appliedIndex > best.appliedIndex) best = namespace;
    }
    const nowMs = this.#environment.clock.monotonicMs();
    if (best === null || best.appliedIndex < this.#deps.committedIndex()) return null;
    return this.#environment.hadAffectedMaster(nowMs - LOST_GRACE_MS) ? null : best;
  }

  /** Returns the id of a chunkserver from its index. Null while the index is closed. */
  idOf(server: SimulatedChunkserver): ServerId | null {
    const bytes = indexOf(server)?.get(IDENTITY_KEY);
    return bytes === undefined ? null : (new TextDecoder().decode(bytes) as ServerId);
  }

  /** Returns whether the server has a copy. A server whose index is closed is assumed to have it. */
  holds(server: SimulatedChunkserver, chunkId: ChunkId): boolean {
    const index = indexOf(server);
    return index === undefined || index.get(chunkRecordKey(chunkId)) !== undefined;
  }

  /** Returns a copy that the most advanced state records on a server without it. Null: there is none. */
  missingCopy(): string | null {
    const state = this.state();
    if (state === null) return null;
    for (const server of this.#deps.chunkservers) {
      const serverId = this.idOf(server);
      if (serverId === null) continue;
      const chunkIds = state.chunksOfServer(serverId, null, Number.POSITIVE_INFINITY);
      const missing = chunkIds.find((chunkId) => !this.holds(server, chunkId));
      if (missing !== undefined) return `${server.host} has no copy of chunk ${missing}`;
    }
    return null;
  }

  /** Notes the copies that are not in `image`, before the disk of the server is set back to it. */
  noteSetBack(server: SimulatedChunkserver, image: DiskImage): number {
    const kept = recordsIn(image);
    const gone = [...recordsIn(server.takeImage())].filter((chunkId) => !kept.has(chunkId));
    const lostMs = this.#environment.clock.monotonicMs() + SET_BACK_GRACE_MS - LOST_GRACE_MS;
    const serverId = serverIdIn(image);
    for (const chunkId of gone) this.#lostMs.set(`${serverId} ${chunkId}`, lostMs);
    return gone.length;
  }

  #onChanged(server: SimulatedChunkserver, changes: readonly StoreChange[]): void {
    for (const change of changes) {
      if (!isRecordChange(change) || change.value !== null) continue;
      const chunkId = chunkIdOfKey(change.key);
      const lost = lostKey(chunkId);
      const isLost = changes.some(({ key, value }) => value !== null && equalBytes(key, lost));
      const nowMs = this.#environment.clock.monotonicMs();
      if (isLost) this.#lostMs.set(`${this.idOf(server)} ${chunkId}`, nowMs);
      else if (!this.holds(server, chunkId)) this.#checkDeletion(server, chunkId);
    }
  }

  #checkDeletion(server: SimulatedChunkserver, chunkId: ChunkId): void {
    const state = this.state();
    const serverId = this.idOf(server);
    const chunk = state?.chunk(chunkId);
    if (state === null || serverId === null || chunk === undefined) return;
    const purges = state.purgesOf(serverId, PURGES_MAX);
    if (purges.some((purge) => purge.chunkId === chunkId)) return;
    const proven = chunk.replicas.filter((replica) => {
      return replica.serverId !== serverId && this.#isProven(replica.serverId, chunkId);
    });
    if (proven.length >= chunk.copiesWanted) return;
    const text = `${server.host} deletes a copy of chunk ${chunkId}, of which ${proven.length} of ${chunk.copiesWanted} other copies are proven`;
    this.#environment.reportViolation(new Violation(text, [server.host, chunkId]));
  }

  #isProven(serverId: ServerId, chunkId: ChunkId): boolean {
    const lostMs = this.#lostMs.get(`${serverId} ${chunkId}`) ?? Number.NEGATIVE_INFINITY;
    if (lostMs >= this.#environment.clock.monotonicMs() - LOST_GRACE_MS) return true;
    const server = this.#deps.chunkservers.find((each) => this.idOf(each) === serverId);
    return server === undefined || this.holds(server, chunkId);
  }
}

/** Returns the id of the server in the index of an image. */
function serverIdIn({ stores }: DiskImage): ServerId {
  return new TextDecoder().decode(stores.get(INDEX_NAME)?.get(IDENTITY_KEY)) as ServerId;
}

/** Returns the chunks with a record in the index of an image. */
function recordsIn({ stores }: DiskImage): Set<ChunkId> {
  const keys = [...(stores.get(INDEX_NAME)?.keys() ?? [])];
  return new Set(keys.filter((key) => key[0] === RECORD_TABLE).map(chunkIdOfKey));
}

/** Returns the open index of a chunkserver. Undefined while it is closed. */
function indexOf({ state, stores }: SimulatedChunkserver): HashedStore | undefined {
  return state === "up" || state === "starting" ? stores.lastOpened(INDEX_NAME) : undefined;
}
