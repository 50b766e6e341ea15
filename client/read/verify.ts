import { toHex } from "../../shared/base/bytes.ts";
import { AshlarError, isAshlarError } from "../../shared/base/errors.ts";
import type { InodeId } from "../../shared/base/ids.ts";
import { joinPath, type PathInput, parsePath, pathText } from "../../shared/base/path.ts";
import { mapInWindow } from "../../shared/flow/window.ts";
import type { FileAttributes } from "../../shared/protocol/attributes.ts";
import { chunkDigestOf, hashBlocks, isContentRoot } from "../../shared/protocol/chunk-id.ts";
import { chunkIdBytes } from "../../shared/protocol/intent.ts";
import type { ClientDeps } from "../client-deps.ts";
import { asAshlarError, Deadline } from "../deadline.ts";
import { checkEnd } from "../names/path-ends.ts";
import { targetOf } from "../names/target.ts";
import { walk } from "../names/walk.ts";
import type { VerifyOptions } from "../options.ts";
import type { ReplicaResult, VerifyResult } from "../results.ts";
import type { ChunkLocation, Replica } from "./chunk-map.ts";
import { FileReader } from "./file-reader.ts";
import { reportCorruptReplica } from "./report-corrupt.ts";
import { ReplicaVerifier } from "./verify-replica.ts";

/** Chunks verified at the same time. */
const CONCURRENT_CHUNKS = 3;
/**
 * Versions of one file that are verified before the file counts as `wasRemoved`: a file that is
 * replaced all the time keeps no version for long.
 */
const VERSIONS_MAX = 5;

type ChunkResult = Extract<VerifyResult, { kind: "chunk" }>;

/** Reads and verifies a file, or every file below a directory. */
export async function* verify(
  deps: ClientDeps,
  path: PathInput,
  options: VerifyOptions,
): AsyncGenerator<VerifyResult, void, void> {
  using deadline = new Deadline(deps.env.clock, "verify", options);
  const { signal } = deadline;
  const target = targetOf(path);
  const attributes = await deps.masters.stat(target, { signal });
  checkEnd(target, attributes);
  const verifier = new Verifier(deps, deadline, options.allReplicas ?? false);
  if (attributes.kind === "file") {
    yield* verifier.file(joinPath(parsePath(path)), attributes);
    return;
  }
  try {
    for await (const entry of walk(deps.masters, path, { signal })) {
      if (entry.attributes.kind === "file") yield* verifier.file(entry.pathBytes, entry.attributes);
    }
  } catch (error) {
    // The directory itself was removed during the walk: nothing is left to verify.
    if (!isAshlarError(error, "NOT_FOUND")) throw error;
    if ((await verifier.currentVersion(attributes.inode)) !== null) throw error;
  }
}

/** The file was removed or replaced while it was verified. */
class FileGone extends Error {}

/** Verifies files one after the other. */
class Verifier {
  readonly #deps: ClientDeps;
  readonly #deadline: Deadline;
  readonly #allReplicas: boolean;
  readonly #replicas: ReplicaVerifier;

  constructor(deps: ClientDeps, deadline: Deadline, allReplicas: boolean) {
    this.#replicas = new ReplicaVerifier(deps, deadline);
    this.#deps = deps;
    this.#deadline = deadline;
    this.#allReplicas = allReplicas;
  }

  /**
   * Yields the results of all chunks of a file, then the result of the file. A file that is
   * replaced meanwhile is verified again, and a removed one is not damaged.
   */
  async *file(path: Uint8Array, listed: FileAttributes): AsyncGenerator<VerifyResult, void, void> {
    for (let version = 1; version <= VERSIONS_MAX; version += 1) {
      try {
        yield* this.#version(path, listed);
        return;
      } catch (error) {
        if (!(error instanceof FileGone)) throw error;
        if ((await this.currentVersion(listed.inode)) === null) break;
      }
    }
    yield fileResult(path, listed, { isReadable: true, wasRemoved: true });
  }

  /** Resolves with the version of an inode; null if it was removed. */
  async currentVersion(inode: number): Promise<number | null> {
    const { signal } = this.#deadline;
    const target = { inode: inode as InodeId };
    try {
      const { masters } = this.#deps;
      return (await masters.stat(target, { signal, readMode: "linearizable" })).version;
    } catch (error) {
      if (isAshlarError(error, "NOT_FOUND")) return null;
      throw error;
    }
  }

  /** Yields the results of the current version. @throws {FileGone} */
  async *#version(
    path: Uint8Array,
    listed: FileAttributes,
  ): AsyncGenerator<VerifyResult, void, void> {
    this.#deadline.check();
    const reader = await this.#open(listed);
    if (reader instanceof AshlarError) {
      yield fileResult(path, listed, { error: reader });
      return;
    }
    const { attributes } = reader;
    let badReplicaCount = 0;
    let isReadable = true;
    const positions = Array.from({ length: attributes.chunkCount }, (_, position) => position);
    const task = (position: number): Promise<ChunkResult> => this.#chunk(path, reader, position);
    for await (const result of mapInWindow(positions, CONCURRENT_CHUNKS, task)) {
      const badReplicas = result.replicas.filter((replica) => !replica.isGood);
      if (badReplicas.length > 0) await this.#requireCurrent(attributes);
      badReplicaCount += badReplicas.length;
      isReadable &&= result.isReadable;
      yield result;
    }
    try {
      await this.#checkRoot(reader);
    } catch (error) {
      const cause = this.#damageOf(error, "verify a file");
      await this.#requireCurrent(attributes);
      yield fileResult(path, attributes, { badReplicaCount, error: cause });
      return;
    }
    yield fileResult(path, attributes, { isReadable, badReplicaCount });
  }

  /** Opens a file by its inode. Resolves with the error if the masters cannot show the file. */
  async #open({ inode }: FileAttributes): Promise<FileReader | AshlarError> {
    try {
      return await FileReader.open(this.#deps, { inode }, { deadline: this.#deadline });
    } catch (error) {
      if (isAshlarError(error, "NOT_FOUND")) throw new FileGone();
      return this.#damageOf(error, "verify a file");
    }
  }

  /**
   * Chunks of a version that was removed or replaced may be gone.
   *
   * @throws {FileGone} unless the masters still have the version
   */
  async #requireCurrent({ inode, version }: FileAttributes): Promise<void> {
    if ((await this.currentVersion(inode)) !== version) throw new FileGone();
  }

  /**
   * Returns the error of a file, chunk or replica.
   *
   * @throws the error itself if it says nothing about the data: the operation has ended, or the
   *   masters do not answer
   */
  #damageOf(error: unknown, action: string): AshlarError {
    this.#deadline.check();
    const cause = asAshlarError(error, action);
    if (cause.retry === "never" || cause.code === "NO_GOOD_REPLICA") return cause;
    throw cause;
  }

  /** Verifies one chunk: all of its replicas, or any good one. */
  async #chunk(path: Uint8Array, reader: FileReader, position: number): Promise<ChunkResult> {
    const chunk = await this.#located(reader, position);
    const replicas = this.#allReplicas
      ? await Promise.all(chunk.replicas.map((replica) => this.#replica(chunk, replica)))
      : [await this.#anyReplica(reader, position)];
    return {
      kind: "chunk",
      path: pathText(path),
      pathBytes: path,
      position,
      chunkId: chunk.chunkId,
      lengthBytes: chunk.lengthBytes,
      replicas,
      copiesWanted: reader.attributes.copiesWanted,
      isReadable: replicas.some((replica) => replica.isGood),
    };
  }

  async #located(reader: FileReader, position: number): Promise<ChunkLocation> {
    try {
      return await reader.map.chunkAt(position, this.#deadline);
    } catch (error) {
      // The history no longer contains the version: only a replaced or removed file is without it.
      if (isAshlarError(error, "INDEX_EXPIRED")) throw new FileGone();
      throw error;
    }
  }

  /** Reads a chunk as a normal read does, from any good replica. */
  async #anyReplica(reader: FileReader, position: number): Promise<ReplicaResult> {
    const start = position * reader.attributes.chunkSizeBytes;
    const end = start + reader.attributes.chunkSizeBytes;
    try {
      for await (const slab of reader.slabs({ start, end, deadline: this.#deadline })) {
        slab.release();
      }
      return { serverId: null, address: null, isGood: true, error: null };
    } catch (error) {
      const cause = this.#damageOf(error, "verify a chunk");
      return { serverId: null, address: null, isGood: false, error: cause };
    }
  }

  /**
   * Verifies one replica, and reports it to its server if it is corrupt. A server that does not
   * answer has no good replica at present.
   */
  async #replica(chunk: ChunkLocation, server: Replica): Promise<ReplicaResult> {
    const { serverId, address } = server;
    this.#deadline.check();
    try {
      await this.#replicas.verify(chunk, server);
      return { serverId, address, isGood: true, error: null };
    } catch (error) {
      this.#deadline.check();
      const cause = asAshlarError(error, "verify a replica");
      if (cause.code === "CHUNK_CORRUPT") reportCorruptReplica(this.#deps, server, chunk.chunkId);
      return { serverId, address, isGood: false, error: cause };
    }
  }

  /**
   * @throws {AshlarError} CHUNK_CORRUPT if the chunks do not hash to the content root of the file
   */
  async #checkRoot(reader: FileReader): Promise<void> {
    const { hasher } = this.#deps.env;
    const { attributes, map } = reader;
    const ids: Uint8Array[] = [];
    const { inlineBytes } = map;
    if (inlineBytes !== null && inlineBytes.length > 0) {
      const hashes = hashBlocks(hasher, inlineBytes);
      ids.push(chunkDigestOf(hasher, inlineBytes.length, hashes));
    }
    for (let position = 0; position < attributes.chunkCount; position += 1) {
      ids.push(chunkIdBytes((await map.chunkAt(position, this.#deadline)).chunkId));
    }
    const { contentRoot: root } = attributes;
    if (isContentRoot(hasher, attributes, { chunkIds: ids, root })) return;
    throw new AshlarError(
      "CHUNK_CORRUPT",
      `The content of the file does not hash to its root ${toHex(attributes.contentRoot)}`,
    );
  }
}

function fileResult(
  path: Uint8Array,
  attributes: FileAttributes,
  found: {
    readonly isReadable?: boolean;
    readonly badReplicaCount?: number;
    readonly error?: Error;
    readonly wasRemoved?: boolean;
  },
): VerifyResult {
  const { sizeBytes, chunkCount } = attributes;
  const { isReadable = false, badReplicaCount = 0, error = null, wasRemoved = false } = found;
  const result = { isReadable, badReplicaCount, error, wasRemoved };
  return { kind: "file", path: pathText(path), pathBytes: path, sizeBytes, chunkCount, ...result };
}
