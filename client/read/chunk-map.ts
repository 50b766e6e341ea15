import { assert, present } from "../../shared/base/assert.ts";
import { AshlarError, isAshlarError } from "../../shared/base/errors.ts";
import {
  CHUNK_BYTES_MAX,
  type ChunkId,
  type LogIndex,
  type ServerId,
} from "../../shared/base/ids.ts";
import { displayName } from "../../shared/base/path.ts";
import { pathErrorMessage } from "../../shared/base/path-errors.ts";
import type { FileAttributes } from "../../shared/protocol/attributes.ts";
import { type Located, locate, type Target } from "../../shared/protocol/namespace-api.ts";
import type { ClientDeps } from "../client-deps.ts";
import type { Deadline } from "../deadline.ts";
import type { ReadModeName } from "../options.ts";

/** Chunks that are asked for with one call. */
const LOCATE_CHUNKS_MAX = 256;
const FIRST_LOCATE_CHUNKS = 16;

export interface Replica {
  readonly serverId: ServerId;
  readonly address: string;
  readonly host: string;
  readonly isLive: boolean;
}

/** A chunk of a file, and who has it. */
export interface ChunkLocation {
  readonly position: number;
  readonly chunkId: ChunkId;
  readonly lengthBytes: number;
  readonly replicas: readonly Replica[];
  /** Replicas that gave this reader bytes that do not match: asked last. */
  readonly badReplicas: Set<ServerId>;
}

/** Which version of a file is read. */
export interface FileView {
  /** Undefined: the present one. */
  readonly index?: LogIndex | undefined;
  /** Default: the connection's. */
  readonly readMode?: ReadModeName | undefined;
}

/** The chunks of one version of a file, asked for as they are needed. */
export class ChunkMap {
  readonly attributes: FileAttributes;
  /** The index that the version is read at. */
  readonly index: LogIndex;
  /** The content of an inline file. */
  readonly inlineBytes: Uint8Array | null;
  readonly #deps: ClientDeps;
  readonly #locations = new Map<number, ChunkLocation>();

  readonly #readMode: ReadModeName;

  private constructor(
    deps: ClientDeps,
    located: Located,
    options: { readonly attributes: FileAttributes; readonly readMode: ReadModeName },
  ) {
    const { attributes, readMode } = options;
    this.#deps = deps;
    // This version was seen, so any master that shows what was seen has it.
    this.#readMode = readMode === "linearizable" ? readMode : "session";
    this.attributes = attributes;
    this.index = located.index;
    this.inlineBytes = located.inlineBytes;
  }

  /**
   * One version of a file: the present one, if no index is named.
   *
   * @param startBytes where it will be read first.
   * @throws {AshlarError} NOT_FOUND, IS_A_DIRECTORY
   */
  static async open(
    deps: ClientDeps,
    target: Target,
    options: FileView & { readonly deadline: Deadline; readonly startBytes: number },
  ): Promise<ChunkMap> {
    const { deadline, startBytes, index, readMode = deps.masters.readMode } = options;
    // A guess: most files have the largest chunks. A wrong one costs a second call.
    const firstPosition = Math.floor(startBytes / CHUNK_BYTES_MAX);
    const request = {
      target,
      ...(index === undefined ? {} : { index }),
      firstPosition,
      count: FIRST_LOCATE_CHUNKS,
    };
    const located = await deps.masters.read(locate, request, {
      readMode,
      signal: deadline.signal,
      timeoutMs: deadline.remainingMs(deps.timeoutMs),
    });
    const { attributes } = located;
    if (attributes.kind === "directory") throw isDirectory(target);
    const map = new ChunkMap(deps, located, { attributes, readMode });
    map.#add(firstPosition, located);
    return map;
  }

  async chunkAt(position: number, deadline: Deadline): Promise<ChunkLocation> {
    assert(position < this.attributes.chunkCount, "a position lies in the file");
    const known = this.#locations.get(position);
    if (known !== undefined) return known;
    const located = await this.#locate({ index: this.index }, position, deadline);
    this.#add(position, located);
    return present(this.#locations.get(position), "the masters answer with what was asked for");
  }

  /** Asks anew who has the chunk: it may have been repaired. */
  async refresh(place: ChunkLocation, deadline: Deadline): Promise<ChunkLocation> {
    const { position } = place;
    try {
      const located = await this.#locate({ index: this.index }, position, deadline);
      this.#add(position, located);
    } catch (error) {
      deadline.check();
      if (!isAshlarError(error, "INDEX_EXPIRED")) return place;
      await this.#refreshFromPresent(position, deadline);
    }
    const fresh = this.#locations.get(position) ?? place;
    for (const serverId of place.badReplicas) fresh.badReplicas.add(serverId);
    return fresh;
  }

  /** The version is no longer in the history; as long as it is the present one, that has no matter. */
  async #refreshFromPresent(position: number, deadline: Deadline): Promise<void> {
    const located = await this.#locate({}, position, deadline);
    if (located.attributes.version === this.attributes.version) this.#add(position, located);
  }

  #locate(
    at: { readonly index?: LogIndex },
    firstPosition: number,
    deadline: Deadline,
  ): Promise<Located> {
    return this.#deps.masters.read(
      locate,
      {
        target: { inode: this.attributes.inode },
        ...at,
        firstPosition,
        count: Math.min(LOCATE_CHUNKS_MAX, this.attributes.chunkCount - firstPosition),
      },
      {
        signal: deadline.signal,
        timeoutMs: deadline.remainingMs(this.#deps.timeoutMs),
        readMode: this.#readMode,
      },
    );
  }

  #add(firstPosition: number, located: Located): void {
    const servers = located.servers.map(({ serverId, address, host, isLive }) => ({
      serverId,
      address,
      host,
      isLive,
    }));
    for (const [offset, chunk] of located.chunks.entries()) {
      const position = firstPosition + offset;
      const replicas = chunk.replicas.map((place) =>
        present(servers[place], "a replica stands among the servers"),
      );
      this.#locations.set(position, {
        position,
        chunkId: chunk.id,
        lengthBytes: chunk.lengthBytes,
        replicas,
        badReplicas: new Set(),
      });
    }
  }
}

function isDirectory(target: Target): AshlarError {
  const name = target.path === undefined ? `inode ${target.inode}` : displayName(target.path);
  return new AshlarError("IS_A_DIRECTORY", pathErrorMessage("IS_A_DIRECTORY", name));
}
