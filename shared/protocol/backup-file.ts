import * as v from "valibot";
import { compareBytes, concatBytes, equalBytes, fromHex, toHex } from "../base/bytes.ts";
import { AshlarError } from "../base/errors.ts";
import { DIGEST_BYTES } from "../base/ids.ts";
import type { DiskFile } from "../ports/disk.ts";
import type { Hasher, HashStream } from "../ports/hasher.ts";
import type { KeyValue } from "../ports/ordered-store.ts";
import { type BackupHead, backupHeadSchema } from "./backup-api.ts";
import { decodePairs } from "./pairs.ts";
import { StateHash } from "./state-hash.ts";

/**
 * A backup in a file (docs/on-disk-format.md). Integers are little-endian, digests BLAKE3.
 *
 *     head    "ASHLRBAK" (8), version (4), n (4), JSON (n), digest of all before it (32)
 *     part    1 (4), count of rows (4), n (4), pairs (n), digest of all before it in the part (32)
 *     …
 *     end     2 (4), 0 (4), 8 (4), count of all rows (8), digest of all digests before it (32)
 */
const MAGIC = new TextEncoder().encode("ASHLRBAK");
const VERSION = 1;
const HEAD_BYTES = 16;
const RECORD_BYTES = 12;
const HEAD_JSON_BYTES_MAX = 64 * 1024;
/** Larger than the largest part of any writer: one row of 8 MiB and its key. */
const PART_BYTES_MAX = 16 * 1024 * 1024;
const KIND_PART = 1;
const KIND_END = 2;
const END_BYTES = 8;

/** Writes a backup in order: `begin`, parts, `end`. The caller syncs the file and closes it. */
export class BackupWriter {
  readonly #file: DiskFile;
  readonly #hasher: Hasher;
  readonly #digests: HashStream;
  #offset = 0;
  #rows = 0;

  constructor(file: DiskFile, hasher: Hasher) {
    this.#file = file;
    this.#hasher = hasher;
    this.#digests = hasher.stream();
  }

  get writtenBytes(): number {
    return this.#offset;
  }

  /** Writes the head. */
  async begin(head: BackupHead): Promise<void> {
    const json = new TextEncoder().encode(
      JSON.stringify({ ...head, stateHash: toHex(head.stateHash) }),
    );
    const start = new Uint8Array(HEAD_BYTES);
    start.set(MAGIC);
    const view = new DataView(start.buffer);
    view.setUint32(8, VERSION, true);
    view.setUint32(12, json.length, true);
    await this.#write([start, json]);
  }

  /**
   * Writes a part.
   *
   * @param pairs `encodePairs` of `rowCount` rows. Their keys are above all keys of earlier parts.
   */
  async part(pairs: Uint8Array, rowCount: number): Promise<void> {
    this.#rows += rowCount;
    await this.#write([recordHead(KIND_PART, rowCount, pairs.length), pairs]);
  }

  /** Writes the end, which makes the backup complete. */
  async end(): Promise<void> {
    const count = new Uint8Array(END_BYTES);
    new DataView(count.buffer).setBigUint64(0, BigInt(this.#rows), true);
    const parts = [recordHead(KIND_END, 0, END_BYTES), count, this.#digests.digest()];
    await this.#append(parts);
  }

  async #write(parts: readonly Uint8Array[]): Promise<void> {
    const digest = this.#hasher.stream();
    for (const part of parts) digest.update(part);
    const sealed = digest.digest();
    this.#digests.update(sealed);
    await this.#append([...parts, sealed]);
  }

  async #append(parts: readonly Uint8Array[]): Promise<void> {
    await this.#file.write(parts, this.#offset);
    for (const part of parts) this.#offset += part.length;
  }
}

function recordHead(kind: number, count: number, lengthBytes: number): Uint8Array {
  const bytes = new Uint8Array(RECORD_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, kind, true);
  view.setUint32(4, count, true);
  view.setUint32(8, lengthBytes, true);
  return bytes;
}

const headJsonSchema = v.object({ ...backupHeadSchema.entries, stateHash: v.string() });

/**
 * Reads a backup and checks all of it: every digest, the order of the rows, their count, and their
 * state hash, which the head contains.
 */
export class BackupReader {
  readonly #file: DiskFile;
  readonly #hasher: Hasher;
  readonly #digests: HashStream;
  #offset = 0;

  constructor(file: DiskFile, hasher: Hasher) {
    this.#file = file;
    this.#hasher = hasher;
    this.#digests = hasher.stream();
  }

  get readBytes(): number {
    return this.#offset;
  }

  /**
   * Reads the head.
   *
   * @throws {AshlarError} STORE_CORRUPT with the offset; VERSION_MISMATCH; INVALID_ARGUMENT if the
   *   file is not a backup
   */
  async head(): Promise<BackupHead> {
    const start = await this.#take(HEAD_BYTES);
    const view = viewOf(start);
    if (!equalBytes(start.subarray(0, MAGIC.length), MAGIC)) {
      throw new AshlarError(
        "INVALID_ARGUMENT",
        "Cannot read the backup: expected a file that begins with ASHLRBAK",
      );
    }
    const version = view.getUint32(8, true);
    if (version !== VERSION) {
      throw new AshlarError(
        "VERSION_MISMATCH",
        `Cannot read the backup: expected version ${VERSION}: it has version ${version}`,
      );
    }
    const lengthBytes = view.getUint32(12, true);
    if (lengthBytes > HEAD_JSON_BYTES_MAX) throw corrupt(0, "its head is too long");
    const json = await this.#take(lengthBytes);
    await this.#checkDigest(0, [start, json]);
    const parsed = v.safeParse(headJsonSchema, JSON.parse(new TextDecoder().decode(json)));
    if (!parsed.success) throw corrupt(0, `its head: ${parsed.issues[0].message}`);
    return { ...parsed.output, stateHash: fromHex(parsed.output.stateHash) };
  }

  /**
   * Yields the rows of every part, after `head`. The backup is known to be complete and intact only
   * when the generator has ended.
   *
   * @throws {AshlarError} STORE_CORRUPT with the offset; STATE_DIVERGED if the rows do not have the
   *   state hash of the head
   */
  async *parts(head: BackupHead): AsyncGenerator<readonly KeyValue[], void, void> {
    const hash = new StateHash();
    let rowCount = 0;
    let last: Uint8Array = new Uint8Array();
    for (;;) {
      const offset = this.#offset;
      const start = await this.#take(RECORD_BYTES);
      const view = viewOf(start);
      const lengthBytes = view.getUint32(8, true);
      if (lengthBytes > PART_BYTES_MAX) throw corrupt(offset, "a part is too long");
      const body = await this.#take(lengthBytes);
      if (view.getUint32(0, true) === KIND_END) {
        await this.#checkEnd(offset, body, rowCount);
        break;
      }
      await this.#checkDigest(offset, [start, body]);
      const pairs = decodePairs(body);
      if (pairs.length !== view.getUint32(4, true)) throw corrupt(offset, "rows are missing");
      for (const { key, value } of pairs) {
        if (compareBytes(key, last) <= 0) throw corrupt(offset, "rows are out of order");
        last = key;
        hash.add(key, value);
      }
      rowCount += pairs.length;
      yield pairs;
    }
    if (equalBytes(hash.bytes(), head.stateHash)) return;
    throw new AshlarError(
      "STATE_DIVERGED",
      `Cannot use the backup: expected the state hash ${toHex(head.stateHash)}: its rows have ${toHex(hash.bytes())}`,
      { hint: "Its rows were damaged in the master that wrote it. Take a backup from another one" },
    );
  }

  async #checkEnd(offset: number, body: Uint8Array, rowCount: number): Promise<void> {
    const sealed = await this.#take(DIGEST_BYTES);
    if (!equalBytes(sealed, this.#digests.digest())) throw corrupt(offset, "its digest differs");
    const isWhole =
      body.length === END_BYTES && viewOf(body).getBigUint64(0, true) === BigInt(rowCount);
    if (!isWhole) throw corrupt(offset, "rows are missing");
    const { lengthBytes } = await this.#file.size();
    if (lengthBytes !== this.#offset) throw corrupt(this.#offset, "bytes follow its end");
  }

  async #checkDigest(offset: number, parts: readonly Uint8Array[]): Promise<void> {
    const sealed = await this.#take(DIGEST_BYTES);
    if (!equalBytes(sealed, this.#hasher.hash(concatBytes(parts)))) {
      throw corrupt(offset, "a digest differs");
    }
    this.#digests.update(sealed);
  }

  async #take(lengthBytes: number): Promise<Uint8Array> {
    const bytes = new Uint8Array(lengthBytes);
    const count = await this.#file.read(bytes, this.#offset);
    if (count < lengthBytes) throw corrupt(this.#offset + count, "the file ends there");
    this.#offset += lengthBytes;
    return bytes;
  }
}

const viewOf = (bytes: Uint8Array): DataView =>
  new DataView(bytes.buffer, bytes.byteOffset, bytes.length);

function corrupt(offset: number, what: string): AshlarError {
  return new AshlarError(
    "STORE_CORRUPT",
    `Cannot use the backup: damaged at byte ${offset}: ${what}`,
    {
      details: { offset },
      hint: "Use another copy of the file, or another backup",
    },
  );
}
