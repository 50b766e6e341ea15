import type { ChunkId } from "../../shared/base/ids.ts";
import { Deferred } from "../../shared/flow/deferred.ts";
import type { Hasher } from "../../shared/ports/hasher.ts";
import { chunkIdOf, hashBlocks } from "../../shared/protocol/chunk-id.ts";
import type { SealedChunk } from "./chunk-writer.ts";

/** A small chunk whose writer waits. */
export class GatheredChunk {
  /** Valid until `isOver`. */
  readonly bytes: Uint8Array;
  readonly lengthBytes: number;
  readonly hashes: Uint8Array;
  readonly chunkId: ChunkId;
  /** Called when the writer stops waiting. */
  onAbandoned: () => void = () => {};
  readonly #result = new Deferred<SealedChunk | null>();
  #isOver = false;

  constructor(hasher: Hasher, bytes: Uint8Array) {
    this.bytes = bytes;
    this.lengthBytes = bytes.length;
    this.hashes = hashBlocks(hasher, bytes);
    this.chunkId = chunkIdOf(hasher, bytes.length, this.hashes);
  }

  /** Null if the chunk must be written with `chunk.write`. */
  get result(): Promise<SealedChunk | null> {
    return this.#result.promise;
  }

  /** Whether the writer does not wait any longer: it has the result, or was abandoned. */
  get isOver(): boolean {
    return this.#isOver;
  }

  resolve(sealed: SealedChunk | null): void {
    this.#isOver = true;
    this.#result.resolve(sealed);
  }

  reject(error: Error): void {
    this.#isOver = true;
    this.#result.reject(error);
  }

  /** Ends the wait without a result. Has no effect after the result. */
  abandon(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.onAbandoned();
  }
}
