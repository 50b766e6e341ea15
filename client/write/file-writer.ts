import { AshlarError, isAshlarError } from "../../shared/base/errors.ts";
import { CHUNK_BYTES_MAX, CHUNK_BYTES_MIN } from "../../shared/base/ids.ts";
import {
  displayName,
  joinPath,
  type PathInput,
  type PathNames,
  parsePath,
} from "../../shared/base/path.ts";
import { type PathErrorCode, pathErrorMessage } from "../../shared/base/path-errors.ts";
import { FRAME_BYTES_MAX, SMALL_CHUNK_BYTES_MAX } from "../../shared/protocol/chunk-api.ts";
import {
  chunkIdOf,
  contentRootOf,
  hashBlocks,
  publishedRootOf,
} from "../../shared/protocol/chunk-id.ts";
import { chunkIdBytes } from "../../shared/protocol/intent.ts";
import type { Content, Operation, OperationOf } from "../../shared/protocol/namespace-api.ts";
import type { ClientDeps } from "../client-deps.ts";
import { Deadline } from "../deadline.ts";
import { FILE_MODE_DEFAULT, type PutOptions, type PutSource } from "../options.ts";
import type { PutResult } from "../results.ts";
import type { SealedChunk } from "./chunk-writer.ts";
import { ChunkedUpload } from "./chunked-upload.ts";
import { Intents } from "./intents.ts";
import { type ByteSource, knownSize, openSource } from "./put-source.ts";
import { isNotSupported, Staging, uploadLost } from "./staging.ts";
import { type UploadFrame, UploadFrameReader } from "./upload-frames.ts";

/**
 * Files of at most this size are stored inline in the metadata, unless the limit of the cluster is
 * lower.
 */
const INLINE_BYTES = 4 * 1024;

/** Ends the calls that a write has started ahead. Made once: each file needs it. */
const OVER = new AshlarError("CANCELLED", "The write is over");

/**
 * Writes a whole file: reads `source` to its end, then publishes the new version in one commit.
 *
 * @throws {AshlarError} see `FileSystem.writeFile`. An error of the source is rethrown unchanged.
 */
export async function writeFile(
  deps: ClientDeps,
  path: PathInput,
  source: PutSource,
  options: PutOptions,
): Promise<PutResult> {
  const names = parsePath(path);
  checkOptions(names, options);
  using deadline = new Deadline(deps.env.clock, "write the file", options);
  deadline.check();
  const bytes = openSource(source, deadline.signal);
  try {
    const sizeHint = options.sizeHint ?? knownSize(source);
    const put = new FilePut(deps, deadline, names, { ...options, ...sizeHintOption(sizeHint) });
    return await put.run(bytes);
  } finally {
    // Cancels calls that were started ahead: placements of further chunks, stagings of chunks.
    deadline.abort(OVER);
    bytes.close();
  }
}

function sizeHintOption(sizeHint: number | undefined): { readonly sizeHint?: number } {
  return sizeHint === undefined ? {} : { sizeHint };
}

function checkOptions(names: PathNames, options: PutOptions): void {
  if (names.length === 0) {
    throw new AshlarError("IS_A_DIRECTORY", pathErrorMessage("IS_A_DIRECTORY", "/"));
  }
  const { chunkSizeBytes = CHUNK_BYTES_MAX } = options;
  const isPower = Number.isInteger(Math.log2(chunkSizeBytes));
  if (isPower && chunkSizeBytes >= CHUNK_BYTES_MIN && chunkSizeBytes <= CHUNK_BYTES_MAX) return;
  throw new AshlarError(
    "INVALID_ARGUMENT",
    `Cannot use a chunk size of ${chunkSizeBytes} bytes: expected a power of two, ${CHUNK_BYTES_MIN} to ${CHUNK_BYTES_MAX}`,
  );
}

/** One write of a file. */
class FilePut {
  readonly #deps: ClientDeps;
  readonly #deadline: Deadline;
  readonly #names: PathNames;
  readonly #options: PutOptions;
  readonly #replace: boolean;
  readonly #chunkSizeBytes: number;

  constructor(deps: ClientDeps, deadline: Deadline, names: PathNames, options: PutOptions) {
    this.#deps = deps;
    this.#deadline = deadline;
    this.#names = names;
    this.#options = options;
    this.#replace = options.replace ?? false;
    this.#chunkSizeBytes = options.chunkSizeBytes ?? CHUNK_BYTES_MAX;
  }

  /** Reads the source to its end and commits the file. */
  async run(source: ByteSource): Promise<PutResult> {
    const frames = new UploadFrameReader({
      source,
      slabs: this.#deps.writeSlabs,
      signal: this.#deadline.signal,
      // A frame must be part of one chunk, and chunks may be shorter than the largest frame.
      frameBytes: Math.min(FRAME_BYTES_MAX, this.#chunkSizeBytes),
      chunkSizeBytes: this.#chunkSizeBytes,
      sizeHint: this.#options.sizeHint,
    });
    const first = await frames.next();
    if (first === null) return this.#putInline(new Uint8Array());
    const { length } = first.bytes;
    if (!frames.isAtEnd || length > SMALL_CHUNK_BYTES_MAX) return this.#putChunks(first, frames);
    try {
      const small = length <= INLINE_BYTES ? await this.#tryInline(first) : null;
      return (
        small ?? (await this.#trySmall(first)) ?? (await this.#putChunks(retained(first), frames))
      );
    } finally {
      first.slab.release();
    }
  }

  /** Null if the inline limit of this cluster is lower. */
  async #tryInline({ bytes }: UploadFrame): Promise<PutResult | null> {
    try {
      return await this.#putInline(bytes.slice());
    } catch (error) {
      if (isAshlarError(error, "TOO_LARGE")) return null;
      throw error;
    }
  }

  /**
   * Commits a file of one small chunk, which is written together with those of other files. Null if it must be
   * written alone, under an intent of its own.
   */
  async #trySmall({ bytes }: UploadFrame): Promise<PutResult | null> {
    const chunkSizeBytes = this.#chunkSizeBytes;
    const { storageClass } = this.#options;
    // An existing file keeps its storage class, which can differ from that of its directory.
    const sharesIntents = !this.#replace || storageClass !== undefined;
    const names = sharesIntents ? this.#names.slice(0, -1) : this.#names;
    const sealed = await this.#deps.smallChunks.put({
      bytes,
      placement: { target: { path: joinPath(names) }, storageClass, chunkSizeBytes },
      sharesIntents,
      deadline: this.#deadline,
    });
    if (sealed === null) return null;
    const sizeBytes = bytes.length;
    this.#options.onProgress?.(sizeBytes);
    const content: Content = { kind: "chunks", sizeBytes, chunkSizeBytes, chunks: [sealed.chunk] };
    try {
      const { index, inode } = await this.#commit({ kind: "put", content }, []);
      return { index, inode, ...this.#resultFields({ sizeBytes, sealed: [sealed], isList: true }) };
    } catch (error) {
      // The commit took long, or the chunk was purged after the intent was issued for another file.
      if (isAshlarError(error, "INTENT_EXPIRED")) return null;
      throw error;
    }
  }

  /** Commits a small file whose content is stored in the metadata. */
  async #putInline(bytes: Uint8Array): Promise<PutResult> {
    const { hasher } = this.#deps.env;
    const { index, inode } = await this.#commit(
      { kind: "put", content: { kind: "inline", bytes } },
      [],
    );
    const sizeBytes = bytes.length;
    const ids = sizeBytes === 0 ? [] : [chunkIdOf(hasher, sizeBytes, hashBlocks(hasher, bytes))];
    const file = { sizeBytes, chunkSizeBytes: CHUNK_BYTES_MAX };
    this.#options.onProgress?.(sizeBytes);
    return {
      index,
      inode,
      sizeBytes,
      chunkCount: 0,
      sentBytes: sizeBytes,
      contentRoot: contentRootOf(hasher, file, ids.map(chunkIdBytes)),
      chunksUnderReplicated: 0,
    };
  }

  /** Uploads a file as chunks and commits it. Unstages the chunks in the background. */
  async #putChunks(first: UploadFrame, frames: UploadFrameReader): Promise<PutResult> {
    const staging = this.#staging();
    let isPublished = false;
    try {
      const upload = this.#upload(staging);
      await this.#checkTarget(first, frames);
      staging.start();
      const sealed = await upload.run(first, frames);
      await staging.stop();
      const { sizeBytes } = upload;
      const { index, inode, isList } = await this.#commitChunks(sizeBytes, sealed, staging);
      isPublished = true;
      return { index, inode, ...this.#resultFields({ sizeBytes, sealed, isList }) };
    } finally {
      await staging.stop();
      this.#deps.background.run(() => staging.discard(isPublished));
    }
  }

  async #commitChunks(sizeBytes: number, sealed: readonly SealedChunk[], staging: Staging) {
    const published = await this.#publish(sizeBytes, sealed, staging);
    if (published !== null) return { ...published, isList: false };
    const chunkSizeBytes = this.#chunkSizeBytes;
    const chunks = sealed.map((each) => staging.committedForm(each));
    const content: Content = { kind: "chunks", sizeBytes, chunkSizeBytes, chunks };
    try {
      const put = { kind: "put", content } as const;
      return { ...(await this.#commit(put, staging.removals)), isList: true };
    } catch (error) {
      // Only staged chunks are named without receipts.
      throw isAshlarError(error, "CHUNKS_MISSING") ? uploadLost(error) : error;
    }
  }

  /**
   * Publishes a file of many chunks. Null if the commit must list the chunks: a short file, or masters that do not
   * support `publish`. The latter accept a list of any length below feature level 7, and of about 1,100 staged
   * chunks from there on.
   */
  async #publish(sizeBytes: number, sealed: readonly SealedChunk[], staging: Staging) {
    const chunkSizeBytes = this.#chunkSizeBytes;
    for (let attempt = 1; ; attempt += 1) {
      try {
        const id = await staging.stageInOrder(sealed);
        if (id === null) return null;
        const upload = { kind: "publish", id, sizeBytes, chunkSizeBytes } as const;
        const committed = await this.#commit(upload, staging.removals);
        staging.takenOver(id);
        return committed;
      } catch (error) {
        if (isNotSupported(error)) return null;
        // The client has opened another session, which does not have the upload.
        if (attempt > 1 || !isUploadMissing(error)) throw error;
      }
    }
  }

  #upload(staging: Staging): ChunkedUpload {
    const deps = this.#deps;
    const deadline = this.#deadline;
    const options = this.#options;
    const chunkSizeBytes = this.#chunkSizeBytes;
    const intents = new Intents({
      masters: deps.masters,
      chunkservers: deps.chunkservers,
      clock: deps.env.clock,
      deadline,
      timeoutMs: deps.timeoutMs,
      target: { path: joinPath(this.#names) },
      storageClass: options.storageClass,
      chunkSizeBytes,
      hostName: deps.hostName,
    });
    return new ChunkedUpload({
      deps,
      intents,
      deadline,
      chunkSizeBytes,
      sizeHint: options.sizeHint,
      onProgress: options.onProgress ?? (() => {}),
      onSealed: (sealed) => staging.addSealed(sealed),
    });
  }

  #staging(): Staging {
    return new Staging({
      deps: this.#deps,
      deadline: this.#deadline,
      target: { path: joinPath(this.#names) },
      chunkSizeBytes: this.#chunkSizeBytes,
      storageClass: this.#options.storageClass,
    });
  }

  /** Returns the fields of the result that follow from the chunks. A repeated chunk counts once. */
  #resultFields({
    sizeBytes,
    sealed,
    isList,
  }: {
    readonly sizeBytes: number;
    readonly sealed: readonly SealedChunk[];
    /** Whether the commit listed the chunks: see `publishedRootOf`. */
    readonly isList: boolean;
  }): Omit<PutResult, "index" | "inode"> {
    const distinct = [...new Set(sealed)];
    const ids = sealed.map((each) => chunkIdBytes(each.chunk.id));
    const file = { sizeBytes, chunkSizeBytes: this.#chunkSizeBytes };
    return {
      sizeBytes,
      chunkCount: sealed.length,
      sentBytes: distinct.reduce((sum, each) => sum + each.sentBytes, 0),
      contentRoot: (isList ? contentRootOf : publishedRootOf)(this.#deps.env.hasher, file, ids),
      chunksUnderReplicated: distinct.filter((each) => each.isUnderReplicated).length,
    };
  }

  /**
   * Checks parent and name before a large upload, so that it does not fail only at the commit. A
   * file of one frame is checked by its commit.
   */
  async #checkTarget(first: UploadFrame, frames: UploadFrameReader): Promise<void> {
    if (frames.isAtEnd) return;
    try {
      await this.#checkNames();
    } catch (error) {
      first.slab.release();
      throw error;
    }
  }

  async #checkNames(): Promise<void> {
    const parent = await this.#stat(this.#names.slice(0, -1));
    if (parent.kind !== "directory") {
      throw this.#refusal("NOT_A_DIRECTORY", this.#names.slice(0, -1));
    }
    try {
      const existing = await this.#stat(this.#names);
      if (existing.kind === "directory") throw this.#refusal("IS_A_DIRECTORY", this.#names);
    } catch (error) {
      if (isAshlarError(error, "NOT_FOUND")) return;
      throw error;
    }
    if (!this.#replace) throw this.#refusal("ALREADY_EXISTS", this.#names);
  }

  #refusal(code: PathErrorCode, refused: PathNames): AshlarError {
    const message = pathErrorMessage(code, displayName(joinPath(refused)));
    const path = displayName(joinPath(this.#names));
    return new AshlarError(code, message, { details: { path } });
  }

  async #stat(names: PathNames) {
    const target = { path: joinPath(names) };
    const linearizable = { ...this.#callOptions(), readMode: "linearizable" } as const;
    return await this.#deps.masters.stat(target, linearizable);
  }

  /** Commits the file in one transaction with `removals`. */
  async #commit(
    source:
      | Pick<OperationOf<"put">, "kind" | "content">
      | Pick<OperationOf<"publish">, "kind" | "id" | "sizeBytes" | "chunkSizeBytes">,
    removals: readonly Operation[],
  ) {
    const { mode = FILE_MODE_DEFAULT, uid = 0, gid = 0 } = this.#options;
    const { mtimeMs, storageClass, preconditions = [] } = this.#options;
    const write: Operation = {
      ...source,
      target: { path: joinPath(this.#names) },
      replace: this.#replace,
      mode,
      uid,
      gid,
      ...(mtimeMs === undefined ? {} : { mtimeMs }),
      ...(storageClass === undefined ? {} : { storageClass }),
    };
    const operations = [write, ...this.#attributeChanges(), ...removals];
    const { index, inodes } = await this.#deps.masters.transact(
      { preconditions, operations },
      this.#callOptions(),
    );
    return { index, inode: inodes[0] ?? null };
  }

  /** A `put` sets the attributes of a new file only. */
  #attributeChanges(): readonly Operation[] {
    const { mode, uid, gid, mtimeMs, replaceAttributes = false } = this.#options;
    if (!replaceAttributes || !this.#replace) return [];
    const target = { path: joinPath(this.#names) };
    return [{ kind: "set-attributes", target, mode, uid, gid, mtimeMs }];
  }

  #callOptions(): { readonly signal: AbortSignal; readonly timeoutMs: number } {
    const { signal } = this.#deadline;
    return { signal, timeoutMs: this.#deadline.remainingMs(this.#deps.timeoutMs) };
  }
}

/** Whether the refused part is the upload and not a precondition of the caller. */
const isUploadMissing = (error: unknown): boolean =>
  isAshlarError(error, "PRECONDITION_FAILED") && error.details["operationIndex"] === 0;

/** Adds an owner to the slab of the frame. */
function retained(frame: UploadFrame): UploadFrame {
  frame.slab.retain();
  return frame;
}
