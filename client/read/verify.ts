import { equalBytes, toHex } from "../../shared/base/bytes.ts";
import { AshlarError } from "../../shared/base/errors.ts";
import { joinPath, type PathInput, parsePath } from "../../shared/base/path.ts";
import { mapInWindow } from "../../shared/flow/window.ts";
import { chunkIdOf, contentRootOf, hashBlocks } from "../../shared/protocol/chunk-id.ts";
import { chunkIdBytes } from "../../shared/protocol/intent.ts";
import type { Attributes } from "../../shared/protocol/namespace-api.ts";
import type { ClientParts } from "../client-deps.ts";
import { asAshlarError, Deadline } from "../deadline.ts";
import { indexAsOf } from "../names/as-of.ts";
import { targetOf } from "../names/target.ts";
import { walk } from "../names/walk.ts";
import type { ReadOptions, VerifyOptions } from "../options.ts";
import type { Checksum, ReplicaResult, VerifyResult } from "../results.ts";
import type { ChunkPlace, Replica } from "./chunk-map.ts";
import { FileReader } from "./file-reader.ts";
import { provenBytes } from "./manifest-cache.ts";
import { type FrameOutcome, ReadAttempt } from "./read-attempt.ts";
import { reportRotten } from "./report-corrupt.ts";

/** Chunks that are examined at the same time. */
const CHUNKS_AT_ONCE = 3;
/** A replica that sends nothing for so long has failed. */
const SILENCE_MS = 15_000;

type ChunkResult = Extract<VerifyResult, { kind: "chunk" }>;

/** Reads and proves a file, or every file below a directory. */
export async function* verify(
  parts: ClientParts,
  path: PathInput,
  options: VerifyOptions,
): AsyncGenerator<VerifyResult, void, void> {
  using deadline = new Deadline(parts.env.clock, "verify", options);
  const { signal } = deadline;
  const attributes = await parts.masters.stat(targetOf(path), { signal });
  const verifier = new Verifier(parts, deadline, options.allReplicas ?? false);
  if (attributes.kind === "file") {
    yield* verifier.file(joinPath(parsePath(path)), attributes);
    return;
  }
  for await (const entry of walk(parts.masters, path, { signal })) {
    if (entry.attributes.kind === "file") yield* verifier.file(entry.path, entry.attributes);
  }
}

class Verifier {
  readonly #parts: ClientParts;
  readonly #deadline: Deadline;
  readonly #allReplicas: boolean;

  constructor(parts: ClientParts, deadline: Deadline, allReplicas: boolean) {
    this.#parts = parts;
    this.#deadline = deadline;
    this.#allReplicas = allReplicas;
  }

  async *file(
    path: Uint8Array,
    listed: Extract<Attributes, { kind: "file" }>,
  ): AsyncGenerator<VerifyResult, void, void> {
    let reader: FileReader;
    try {
      reader = await FileReader.open(
        this.#parts,
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
    for await (const result of mapInWindow(positions, CHUNKS_AT_ONCE, task)) {
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

  async #replica(chunk: ChunkPlace, server: Replica): Promise<ReplicaResult> {
    const { serverId, address } = server;
    try {
      await this.#proveReplica(chunk, server);
      return { serverId, address, isGood: true, error: null };
    } catch (error) {
      this.#deadline.check();
      const cause = asAshlarError(error, "verify a replica");
      if (cause.code === "CHUNK_CORRUPT") reportRotten(this.#parts, server, chunk.chunkId);
      return { serverId, address, isGood: false, error: cause };
    }
  }

  /** Reads the whole replica. @throws {AshlarError} CHUNK_CORRUPT, CHUNK_NOT_FOUND, … */
  async #proveReplica(chunk: ChunkPlace, server: Replica): Promise<void> {
    const attempt = new ReadAttempt({
      parts: this.#parts,
      deadline: this.#deadline,
      chunk,
      server,
      startBytes: 0,
      endBytes: chunk.lengthBytes,
    });
    try {
      for (let provedBytes = 0; provedBytes < chunk.lengthBytes; ) {
        provedBytes += await this.#proveNext(attempt);
      }
    } finally {
      attempt.cancel();
    }
  }

  async #proveNext(attempt: ReadAttempt): Promise<number> {
    const { hasher } = this.#parts.env;
    const outcome = await this.#outcomeSoon(attempt);
    attempt.taken();
    if (outcome.kind === "failed") throw outcome.error;
    const { frame } = outcome;
    try {
      const provedBytes = provenBytes(hasher, frame.manifest, frame.offsetBytes, frame.bytes);
      if (provedBytes === frame.bytes.length) return provedBytes;
      throw new AshlarError(
        "CHUNK_CORRUPT",
        `The block at ${frame.offsetBytes + provedBytes} on ${attempt.server.address} does not match its hash`,
      );
    } finally {
      frame.release();
    }
  }

  #outcomeSoon(attempt: ReadAttempt): Promise<FrameOutcome> {
    const { address } = attempt.server;
    return new Promise((resolve, reject) => {
      const timer = this.#parts.env.clock.after(SILENCE_MS, () => {
        const message = `Nothing came from ${address} in ${SILENCE_MS} ms`;
        reject(new AshlarError("DEADLINE_EXCEEDED", message));
      });
      attempt.next().then((outcome) => {
        timer.cancel();
        resolve(outcome);
      }, reject);
    });
  }

  /** @throws {AshlarError} CHUNK_CORRUPT if the content is not the one that the file's root stands for */
  async #checkRoot(reader: FileReader): Promise<void> {
    const { hasher } = this.#parts.env;
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

/** Plain BLAKE3 of a file's bytes (what `b3sum` prints), through verified reads. */
export async function checksum(
  parts: ClientParts,
  path: PathInput,
  options: ReadOptions,
): Promise<Checksum> {
  using deadline = new Deadline(parts.env.clock, "compute the checksum", options);
  const index = await indexAsOf(parts.masters, options);
  const { readMode } = options;
  const reader = await FileReader.open(parts, targetOf(path), { deadline, index, readMode });
  const stream = parts.env.hasher.stream();
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
