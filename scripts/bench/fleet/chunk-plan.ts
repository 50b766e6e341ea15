import { createHash } from "node:crypto";
import type { ChunkId, ServerId } from "../../../shared/base/ids.ts";
import type { ServerLocation } from "../../../shared/protocol/intent.ts";

/** Chunks of one file: 4 GiB of data that is never stored. The commit is one transaction. */
export const CHUNKS_PER_FILE = 64;
export const CHUNK_BYTES = 64 * 1024 * 1024;
export const COPIES = 3;
export const FILES_PER_DIRECTORY = 100;
export const DIRECTORY = "/chunks";
const RACKS = 40;
/** Of this many chunks in sequence, the last server holds the first LARGE_CHUNKS. */
const LARGE_CYCLE = 20;
const LARGE_CHUNKS = 3;

/** Returns the path of a file with chunks, by its number from 0. */
export function loadedPath(number: number): string {
  return `${directoryOf(number)}/${String(number % FILES_PER_DIRECTORY).padStart(2, "0")}`;
}

export function directoryOf(number: number): string {
  return `${DIRECTORY}/${String(Math.floor(number / FILES_PER_DIRECTORY)).padStart(5, "0")}`;
}

/** Returns the location of a simulated chunkserver, by its number from 0. */
export function locationOf(index: number): ServerLocation {
  const number = index + 1;
  return {
    serverId: number.toString(16).padStart(32, "0") as ServerId,
    address: `10.${number >> 16}.${(number >> 8) & 0xff}.${number & 0xff}:7420`,
    host: `host-${number}`,
    rack: `rack-${number % RACKS}`,
  };
}

export function chunkIdOf(number: number): ChunkId {
  return createHash("sha256").update(`chunk ${number}`).digest("hex") as ChunkId;
}

/**
 * Returns the numbers of the servers with the copies of a chunk. All have about as many chunks, except
 * the last one: it has 15 chunks of 100.
 */
export function holdersOf(number: number, servers: number): number[] {
  const last = servers - 1;
  const others = last;
  const isLarge = number % LARGE_CYCLE < LARGE_CHUNKS;
  // The step varies, so that each server shares chunks with many others.
  const first = number * 7 + Math.floor(number / others) * 13;
  const step = 1 + (number % Math.max(1, Math.floor(others / COPIES) - 1));
  const holders = Array.from({ length: COPIES }, (_, copy) => (first + copy * step) % others);
  return isLarge ? [last, ...holders.slice(1)] : holders;
}
