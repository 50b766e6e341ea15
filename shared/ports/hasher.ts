import type { Digest } from "../base/ids.ts";

/** BLAKE3-256 (https://github.com/BLAKE3-team/BLAKE3-specs). All digests are 32 bytes. */
export interface Hasher {
  /** Hash mode. */
  hash(bytes: Uint8Array): Digest;
  /** Derive-key mode: `context` is a fixed, globally unique string of the application. */
  deriveKey(context: string, material: Uint8Array): Digest;
  /** Keyed mode, a MAC. `key` has 32 bytes. */
  keyedHash(key: Uint8Array, bytes: Uint8Array): Digest;
  /** Hash mode over bytes that arrive in parts. */
  stream(): HashStream;
}

/** A hash over bytes that arrive in parts. */
export interface HashStream {
  update(bytes: Uint8Array): void;
  /** Ends the stream and returns its digest. Called once. */
  digest(): Digest;
}
