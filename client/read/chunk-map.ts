import { assert, present } from "../../shared/base/assert.ts";
import { equalBytes } from "../../shared/base/bytes.ts";
import { isAshlarError } from "../../shared/base/errors.ts";
import {
  CHUNK_BYTES_MAX,
  type ChunkId,
  type LogIndex,
  type ServerId,
} from "../../shared/base/ids.ts";
import type { FileAttributes } from "../../shared/protocol/attributes.ts";
import { type Located, locate, type Target } from "../../shared/protocol/namespace-api.ts";
import type { ClientDeps } from "../client-deps.ts";
import type { Deadline } from "../deadline.ts";
import { checkEnd, pathError } from "../names/path-ends.ts";
import type { ReadModeName } from "../options.ts";

/** Maximum number of chunks located by one call. */
const LOCATE_CHUNKS_MAX = 256;
const FIRST_LOCATE_CHUNKS = 16;

/** A replica of a chunk on a chunkserver. */
export interface Replica {
  readonly serverId: ServerId;
  readonly address: string;
  /** Host name under which the server is registered. */
  readonly host: string;
  /** Whether the masters consider the server live. */
  readonly isLive: boolean;
}

/** A chunk of a file and its replicas. */
export interface ChunkLocation {
  /** Position in the file, from 0. */
  readonly position: number;
  readonly chunkId: ChunkId;
  readonly lengthBytes: number;
  readonly replicas: readonly Replica[];
  /** Replicas that sent corrupt or no data to this reader. They are tried last. */
  readonly badReplicas: Set<ServerId>;
}

/** Selects the version of a file to read. */
export interface FileView {
  /** Log index of the state to read. Undefined: the current state. */
  readonly index?: LogIndex | undefined;
  /** Read mode of the lookup. Default: that of the connection. */
  readonly readMode?: ReadModeName | undefined;
}

/** The chunks of one version of a file, located when they are needed. */
export class ChunkMap {
  readonly attributes: FileAttributes;
  /** Log index of the state that is read. */
  readonly index: LogIndex;
  /** Content of an inline file. Null for a file with chunks. */
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
    // Any master that shows everything seen by this session knows this version.
    this.#readMode = readMode === "linearizable" ? readMode : "session";
    this.attributes = attributes;
    this.index = located.index;
    this.inlineBytes = located.inlineBytes;
  }

  /**
   * Opens one version of a file: the current one if `index` is undefined.
   *
   * @param startBytes offset of the first read.
   * @throws {AshlarError} NOT_FOUND, IS_A_DIRECTORY, INDEX_EXPIRED.
   */
  static async open(
    deps: ClientDeps,
    target: Target,
    options: FileView & { readonly deadline: Deadline; readonly startBytes: number },
  ): Promise<ChunkMap> {
    const { deadline, startBytes, index, readMode = deps.masters.readMode } = options;
    // The chunk size is not known yet: assumes the maximum. A wrong guess costs a second call.
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
    if (attributes.kind === "directory") throw pathError("IS_A_DIRECTORY", target);
    checkEnd(target, attributes);
    const map = new ChunkMap(deps, located, { attributes, readMode });
    map.#add(firstPosition, located);
    return map;
  }

  /** Returns the chunk at `position`, or null if it is not located yet. */
  knownChunkAt(position: number): ChunkLocation | null {
    return this.#locations.get(position) ?? null;
  }

  /** Resolves with the chunk at `position`. Locates it and the following chunks if necessary. */
  async chunkAt(position: number, deadline: Deadline): Promise<ChunkLocation> {
    assert(position < this.attributes.chunkCount, "a chunk position is within the file");
    const known = this.#locations.get(position);
    if (known !== undefined) return known;
    try {
      this.#add(position, await this.#locate({ index: this.index }, position, deadline));
    } catch (error) {
      if (!isAshlarError(error, "INDEX_EXPIRED")) throw error;
      await this.#refreshFromPresent(position, deadline);
      if (!this.#locations.has(position)) throw error;
    }
    return present(this.#locations.get(position), "the response contains the requested chunk");
  }

  /**
   * Locates a chunk again, because a repair may have added replicas. Returns `before` if the
   * masters cannot be asked.
   */
  async refresh(before: ChunkLocation, deadline: Deadline): Promise<ChunkLocation> {
    const { position } = before;
    try {
      const located = await this.#locate({ index: this.index }, position, deadline);
      this.#add(position, located);
    } catch (error) {
      deadline.check();
      if (!isAshlarError(error, "INDEX_EXPIRED")) return before;
      await this.#refreshFromPresent(position, deadline);
    }
    const fresh = this.#locations.get(position) ?? before;
    for (const serverId of before.badReplicas) fresh.badReplicas.add(serverId);
    return fresh;
  }

  /**
   * Locates a chunk of a version that left the history, which works if the file has the same content
   * at present. A read that takes longer than the retention needs it.
   */
  async #refreshFromPresent(position: number, deadline: Deadline): Promise<void> {
    const located = await this.#locate({}, position, deadline);
    const { attributes } = located;
    if (attributes.kind !== "file") return;
    const { contentRoot, chunkSizeBytes } = this.attributes;
    const isSame =
      attributes.chunkSizeBytes === chunkSizeBytes &&
      equalBytes(attributes.contentRoot, contentRoot);
    if (isSame) this.#add(position, located);
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
      const replicas = chunk.replicas.map((index) =>
        present(servers[index], "a replica refers to a server of the response"),
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
