import { equalBytes, toHex } from "../../shared/base/bytes.ts";
import { AshlarError } from "../../shared/base/errors.ts";
import { joinPath, type PathInput, parsePath } from "../../shared/base/path.ts";
import { mapInWindow } from "../../shared/flow/window.ts";
import type { Attributes } from "../../shared/protocol/attributes.ts";
import { chunkIdOf, contentRootOf, hashBlocks } from "../../shared/protocol/chunk-id.ts";
import { chunkIdBytes } from "../../shared/protocol/intent.ts";
import type { ClientDeps } from "../client-deps.ts";
import { asAshlarError, Deadline } from "../deadline.ts";
import { indexAsOf } from "../names/as-of.ts";
import { targetOf } from "../names/target.ts";
import { walk } from "../names/walk.ts";
import type { ReadFileOptions, VerifyOptions } from "../options.ts";
import type { Checksum, ReplicaResult, VerifyResult } from "../results.ts";
import type { ChunkLocation, Replica } from "./chunk-map.ts";
import { FileReader } from "./file-reader.ts";
import { countVerifiedBytes } from "./manifest-cache.ts";
import { type FrameOutcome, ReadAttempt } from "./read-attempt.ts";
import { reportCorruptReplica } from "./report-corrupt.ts";

/** Chunks verified at the same time. */
const CONCURRENT_CHUNKS = 3;
/** Timeout for the next frame of a replica. */
const SILENCE_TIMEOUT_MS = 15_000;

type ChunkResult = Extract<VerifyResult, { kind: "chunk" }>;

/** Reads and verifies a file, or every file below a directory. */
export async function* verify(
  deps: ClientDeps,
  path: PathInput,
  options: VerifyOptions,
): AsyncGenerator<VerifyResult, void, void> {
  using deadline = new Deadline(deps.env.clock, "verify", options);
  const { signal } = deadline;
  const attributes = await deps.masters.stat(targetOf(path), { signal });
  const verifier = new Verifier(deps, deadline, options.allReplicas ?? false);
  if (attributes.kind === "file") {
    yield* verifier.file(joinPath(parsePath(path)), attributes);
    return;
  }
  for await (const entry of walk(deps.masters, path, { signal })) {
    if (entry.attributes.kind === "file") yield* verifier.file(entry.path, entry.attributes);
  }
}

/** Verifies files one after the other. */
class Verifier {
  readonly #deps: ClientDeps;
  readonly #deadline: Deadline;
  readonly #allReplicas: boolean;

  constructor(deps: ClientDeps, deadline: Deadline, allReplicas: boolean) {
    this.#deps = deps;
    this.#deadline = deadline;
    this.#allReplicas = allReplicas;
  }

  /** Yields the results of all chunks of a file, then the result of the file. */
  async *file(
    path: Uint8Array,
    listed: Extract<Attributes, { kind: "file" }>,
  ): AsyncGenerator<VerifyResult, void, void> {
    let reader: FileReader;
    try {
      reader = await FileReader.open(
        this.#deps,
        { inode: listed.inode },
        { deadline: this.#deadline },
      );
    } catch (error) {
      this.#deadline.check();
      yield fileResult(path, listed, { error: asAshlarError(error, "verify a file") });
      return;
    }
    const { attributes } = reader;
    let badReplicaCount = 0;
    let isReadable = true;
    const positions = Array.from({ length: attributes.chunkCount }, (_, position) => position);
    const task = (position: number): Promise<ChunkResult> => this.#chunk(path, reader, position);
    for await (const result of mapInWindow(positions, CONCURRENT_CHUNKS, task)) {
      badReplicaCount += result.replicas.filter((replica) => !replica.isGood).length;
      isReadable &&= result.isReadable;
      yield result;
    }
    try {
      await this.#checkRoot(reader);
      yield fileResult(path, attributes, { isReadable, badReplicaCount });
    } catch (error) {
      this.#deadline.check();
      const cause = asAshlarError(error, "verify a file");
      yield fileResult(path, attributes, { badReplicaCount, error: cause });
    }
  }

  /** Verifies one chunk: all of its replicas, or any good one. */
  async #chunk(path: Uint8Array, reader: FileReader, position: number): Promise<ChunkResult> {
    const chunk = await reader.map.chunkAt(position, this.#deadline);
    const replicas = this.#allReplicas
      ? await Promise.all(chunk.replicas.map((replica) => this.#replica(chunk, replica)))
      : [await this.#anyReplica(reader, position)];
    return {
      kind: "chunk",
      path,
      position,
      chunkId: chunk.chunkId,
      lengthBytes: chunk.lengthBytes,
      replicas,
      copiesWanted: reader.attributes.copiesWanted,
      isReadable: replicas.some((replica) => replica.isGood),
    };
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
      this.#deadline.check();
      const cause = asAshlarError(error, "verify a chunk");
      return { serverId: null, address: null, isGood: false, error: cause };
    }
  }

  /** Verifies one replica, and reports it to its server if it is corrupt. */
  async #replica(chunk: ChunkLocation, server: Replica): Promise<ReplicaResult> {
    const { serverId, address } = server;
    try {
      await this.#verifyReplica(chunk, server);
      return { serverId, address, isGood: true, error: null };
    } catch (error) {
      this.#deadline.check();
      const cause = asAshlarError(error, "verify a replica");
      if (cause.code === "CHUNK_CORRUPT") reportCorruptReplica(this.#deps, server, chunk.chunkId);
      return { serverId, address, isGood: false, error: cause };
    }
  }

  /** Reads and verifies a whole replica. @throws {AshlarError} CHUNK_CORRUPT, CHUNK_NOT_FOUND, … */
  async #verifyReplica(chunk: ChunkLocation, server: Replica): Promise<void> {
    const attempt = new ReadAttempt({
      deps: this.#deps,
      deadline: this.#deadline,
      chunk,
      server,
      startBytes: 0,
      endBytes: chunk.lengthBytes,
    });
    try {
      for (let verifiedBytes = 0; verifiedBytes < chunk.lengthBytes; ) {
        verifiedBytes += await this.#verifyNextFrame(attempt);
      }
    } finally {
      attempt.cancel();
    }
  }

  /** Verifies the next frame. Resolves with its length. */
  async #verifyNextFrame(attempt: ReadAttempt): Promise<number> {
    const { hasher } = this.#deps.env;
    const outcome = await this.#outcomeWithinTimeout(attempt);
    attempt.consumeOutcome();
    if (outcome.kind === "failed") throw outcome.error;
    const { frame } = outcome;
    try {
      const verifiedBytes = countVerifiedBytes(
        hasher,
        frame.manifest,
        frame.offsetBytes,
        frame.bytes,
      );
      if (verifiedBytes === frame.bytes.length) return verifiedBytes;
      throw new AshlarError(
        "CHUNK_CORRUPT",
        `The block at ${frame.offsetBytes + verifiedBytes} on ${attempt.server.address} does not match its hash`,
      );
    } finally {
      frame.release();
    }
  }

  /** Resolves with the next outcome. @throws {AshlarError} DEADLINE_EXCEEDED after the timeout */
  #outcomeWithinTimeout(attempt: ReadAttempt): Promise<FrameOutcome> {
    const { address } = attempt.server;
    return new Promise((resolve, reject) => {
      const timer = this.#deps.env.clock.after(SILENCE_TIMEOUT_MS, () => {
        const message = `No response from ${address} within ${SILENCE_TIMEOUT_MS} ms`;
        reject(new AshlarError("DEADLINE_EXCEEDED", message));
      });
      attempt.next().then((outcome) => {
        timer.cancel();
        resolve(outcome);
      }, reject);
    });
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
      ids.push(chunkIdBytes(chunkIdOf(hasher, inlineBytes.length, hashes)));
    }
    for (let position = 0; position < attributes.chunkCount; position += 1) {
      ids.push(chunkIdBytes((await map.chunkAt(position, this.#deadline)).chunkId));
    }
    if (equalBytes(contentRootOf(hasher, attributes, ids), attributes.contentRoot)) return;
    throw new AshlarError(
      "CHUNK_CORRUPT",
      `The content of the file does not hash to its root ${toHex(attributes.contentRoot)}`,
    );
  }
}

function fileResult(
  path: Uint8Array,
  attributes: Extract<Attributes, { kind: "file" }>,
  found: {
    readonly isReadable?: boolean;
    readonly badReplicaCount?: number;
    readonly error?: Error;
  },
): VerifyResult {
  const { sizeBytes, chunkCount } = attributes;
  const { isReadable = false, badReplicaCount = 0, error = null } = found;
  return { kind: "file", path, sizeBytes, chunkCount, isReadable, badReplicaCount, error };
}

/** Computes the BLAKE3 hash of the bytes of a range (as `b3sum` prints it) from verified reads. */
export async function checksum(
  deps: ClientDeps,
  path: PathInput,
  options: ReadFileOptions,
): Promise<Checksum> {
  using deadline = new Deadline(deps.env.clock, "compute the checksum", options);
  const index = await indexAsOf(deps.masters, options);
  const { readMode } = options;
  const reader = await FileReader.open(deps, targetOf(path), { deadline, index, readMode });
  const stream = deps.env.hasher.stream();
  let sizeBytes = 0;
  for await (const slab of reader.slabs({ ...options, deadline })) {
    stream.update(slab.bytes);
    sizeBytes += slab.bytes.length;
    slab.release();
  }
  return {
    blake3: toHex(stream.digest()),
    sizeBytes,
    contentRoot: toHex(reader.attributes.contentRoot),
    version: reader.attributes.version,
  };
}
