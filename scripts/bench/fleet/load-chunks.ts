import type { LocalCluster } from "../../../client/cli/cluster/local-cluster.ts";
import type { FileSystem } from "../../../client/file-system.ts";
import { isAshlarError } from "../../../shared/base/errors.ts";
import type { LogIndex, SessionId } from "../../../shared/base/ids.ts";
import { createHasher } from "../../../shared/platform/hasher.ts";
import { signReceipt } from "../../../shared/protocol/intent.ts";
import {
  type CommittedChunk,
  closeSession,
  type Operation,
  openSession,
} from "../../../shared/protocol/namespace-api.ts";
import { transact } from "../../../shared/protocol/transact-api.ts";
import { runMany } from "../rates.ts";
import {
  CHUNK_BYTES,
  CHUNKS_PER_FILE,
  chunkIdOf,
  directoryOf,
  FILES_PER_DIRECTORY,
  loadedPath,
} from "./chunk-plan.ts";
import type { SimulatedFleet } from "./simulated-fleet.ts";
import { WireCaller } from "./wire-caller.ts";

/** Callers, each with its own connection and session, and one transaction in flight. */
const CALLERS = 8;

const { hasher } = createHasher();

/**
 * Commits files of CHUNKS_PER_FILE chunks, whose ids and receipts are made up: the receipts are signed
 * with the key that each chunkserver gets. Resolves with the number of chunks per second.
 *
 * @param load.firstFile number of the first file: the first one of a directory
 */
export async function loadChunks(
  cluster: LocalCluster,
  fileSystem: FileSystem,
  load: { readonly fleet: SimulatedFleet; readonly firstFile: number; readonly files: number },
): Promise<number> {
  const { fleet, firstFile, files } = load;
  for (let number = firstFile; number < firstFile + files; number += FILES_PER_DIRECTORY) {
    await fileSystem.mkdir(directoryOf(number));
  }
  const loaders = await Promise.all(
    Array.from({ length: CALLERS }, (_, number) => Loader.open(cluster, number)),
  );
  try {
    const idle = [...loaders];
    const { rate } = await runMany({ count: files, parallel: CALLERS }, async (number) => {
      const loader = idle.pop() as Loader;
      await loader.put(fleet, firstFile + number);
      idle.push(loader);
    });
    return rate * CHUNKS_PER_FILE;
  } finally {
    await Promise.all(loaders.map((loader) => loader[Symbol.asyncDispose]()));
  }
}

/** A client that commits one file after another. */
class Loader implements AsyncDisposable {
  readonly #caller: WireCaller;
  readonly #sessionId: SessionId;
  #sequence = 0;
  /** Index of the last answer: the intents of the next file are as old as it. */
  #index: LogIndex;

  private constructor(
    caller: WireCaller,
    session: { readonly sessionId: SessionId; readonly index: LogIndex },
  ) {
    this.#caller = caller;
    this.#sessionId = session.sessionId;
    this.#index = session.index;
  }

  static async open(cluster: LocalCluster, number: number): Promise<Loader> {
    const caller = new WireCaller(cluster, "client", `loader ${number}`);
    return new Loader(caller, await caller.call(openSession, { clientName: `loader ${number}` }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#caller.call(closeSession, { sessionId: this.#sessionId });
    await this.#caller[Symbol.asyncDispose]();
  }

  async put(fleet: SimulatedFleet, number: number): Promise<void> {
    this.#sequence += 1;
    const operation = putOf(fleet, number, this.#index);
    const transaction = { sequence: this.#sequence, preconditions: [], operations: [operation] };
    for (;;) {
      const { outcomes } = await this.#caller.call(transact, {
        sessionId: this.#sessionId,
        firstUnacknowledged: this.#sequence,
        transactions: [transaction],
      });
      const [outcome] = outcomes;
      if (outcome !== undefined && !isAshlarError(outcome)) {
        this.#index = outcome.index;
        return;
      }
      // The leader has changed: the same sequence number gets the first outcome.
      if (outcome === undefined || outcome.retry === "never") throw outcome;
    }
  }
}

function putOf(fleet: SimulatedFleet, number: number, intentIndex: LogIndex): Operation {
  const first = number * CHUNKS_PER_FILE;
  return {
    kind: "put",
    target: { path: Buffer.from(loadedPath(number)) },
    content: {
      kind: "chunks",
      sizeBytes: CHUNKS_PER_FILE * CHUNK_BYTES,
      chunkSizeBytes: CHUNK_BYTES,
      chunks: Array.from({ length: CHUNKS_PER_FILE }, (_, position) =>
        sealedChunk(fleet, first + position, intentIndex),
      ),
    },
    replace: false,
    mode: 0o644,
    uid: 0,
    gid: 0,
  };
}

function sealedChunk(fleet: SimulatedFleet, number: number, intentIndex: LogIndex): CommittedChunk {
  const id = chunkIdOf(number);
  const receipts = fleet.holdersOf(number).map((server) => {
    const { serverId } = server.location;
    server.chunkCount += 1;
    const sealed = { serverId, chunkId: id, lengthBytes: CHUNK_BYTES, intentIndex };
    return { serverId, receipt: signReceipt(hasher, fleet.chunkKey, sealed) };
  });
  return { id, lengthBytes: CHUNK_BYTES, intentIndex, receipts };
}
