import { FairSlabs } from "../../shared/flow/fair-slabs.ts";
import type { SlabPool } from "../../shared/flow/slabs.ts";
import type { PeerIdentity } from "../../shared/wire/rpc.ts";

/** A read of up to this length is small. */
const SMALL_BYTES_MAX = 256 * 1024;
/** Memory of the small reads, and as much again of the other servers. */
const RESERVE_BYTES = 16 * 1024 * 1024;

/**
 * Memory for data between the disk and the network. Small reads and other servers (copies for repair,
 * reports of corrupt chunks) have memory of their own: large reads of clients cannot take it.
 */
export class ReadMemory {
  /** Large reads of clients. */
  readonly large: FairSlabs;
  readonly small: FairSlabs;
  readonly servers: FairSlabs;

  constructor(largeBytesMax: number, makePool: (bytesMax: number) => SlabPool) {
    this.large = new FairSlabs(makePool(largeBytesMax));
    this.small = new FairSlabs(makePool(RESERVE_BYTES));
    this.servers = new FairSlabs(makePool(RESERVE_BYTES));
  }

  /** Number of reads that wait for memory. */
  get waitingCount(): number {
    return this.large.waitingCount + this.small.waitingCount + this.servers.waitingCount;
  }

  /** Bytes of the slabs in use. */
  get acquiredBytes(): number {
    return this.large.acquiredBytes + this.small.acquiredBytes + this.servers.acquiredBytes;
  }

  /** Returns the memory for a read of this length by this peer. */
  of(peer: PeerIdentity, lengthBytes: number): FairSlabs {
    if (peer.role === "chunkserver") return this.servers;
    return lengthBytes <= SMALL_BYTES_MAX ? this.small : this.large;
  }
}
