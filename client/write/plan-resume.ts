import { assert } from "../../shared/base/assert.ts";
import { BLOCK_BYTES, type ServerId } from "../../shared/base/ids.ts";

/** State of one server of a broken chain. */
export interface ChainServer {
  readonly serverId: ServerId;
  readonly address: string;
  /** Length of its partial chunk. 0 if it has none, null if it did not answer. */
  readonly receivedBytes: number | null;
}

/** The decision how a failed write of a chunk continues. */
export type ResumePlan =
  | {
      readonly kind: "resume";
      /** Servers with all bytes before `resumeAtBytes`, in chain order. They stay in the chain. */
      readonly keep: readonly ServerId[];
      /** Address that new servers copy the bytes before `resumeAtBytes` from. Null if it is 0. */
      readonly fillFrom: string | null;
      /** Offset to continue at, a block boundary. */
      readonly resumeAtBytes: number;
      /** Servers that must not be in the new chain. */
      readonly exclude: readonly ServerId[];
    }
  /** No server has the bytes that the writer has already released. The write fails. */
  | { readonly kind: "lost" };

/**
 * Decides how the write of a chunk continues after its chain broke. Pure.
 *
 * The writer still has every byte from `firstKeptBytes` on, so a server is usable if it has all
 * bytes before. The chain resumes at the last block boundary that all usable servers have reached.
 */
export function planResume(broken: {
  /** Servers of the broken chain, in chain order. */
  readonly servers: readonly ChainServer[];
  /** The server that broke the chain, if known. */
  readonly blamed: ServerId | null;
  /** Offset of the first byte that the writer can send again. */
  readonly firstKeptBytes: number;
  /** Bytes of the chunk so far. */
  readonly lengthBytes: number;
}): ResumePlan {
  const { servers, blamed, firstKeptBytes, lengthBytes } = broken;
  assert(firstKeptBytes % BLOCK_BYTES === 0, "the writer releases whole blocks");
  assert(firstKeptBytes <= lengthBytes, "released bytes were part of the chunk");
  const exclude: ServerId[] = [];
  const keep: ChainServer[] = [];
  let commonBytes = lengthBytes;
  for (const server of servers) {
    const { receivedBytes } = server;
    if (server.serverId === blamed || receivedBytes === null) {
      exclude.push(server.serverId);
    } else if (receivedBytes >= firstKeptBytes && receivedBytes > 0) {
      keep.push(server);
      commonBytes = Math.min(commonBytes, receivedBytes);
    }
  }
  const [first] = keep;
  if (first === undefined) {
    if (firstKeptBytes > 0) return { kind: "lost" };
    return { kind: "resume", keep: [], fillFrom: null, resumeAtBytes: 0, exclude };
  }
  const resumeAtBytes = commonBytes - (commonBytes % BLOCK_BYTES);
  assert(resumeAtBytes >= firstKeptBytes, "the writer has all bytes to send again");
  return {
    kind: "resume",
    keep: keep.map((server) => server.serverId),
    fillFrom: resumeAtBytes > 0 ? first.address : null,
    resumeAtBytes,
    exclude,
  };
}

/**
 * Returns the server to blame for a chain that stalled although all of its servers answer: the
 * server that has received the fewest bytes, fewer than a server before it. Null if all have the
 * same.
 */
export function findSlowest(servers: readonly ChainServer[]): ServerId | null {
  let worst: ChainServer | null = null;
  let mostBytes = 0;
  for (const server of servers) {
    const receivedBytes = server.receivedBytes ?? 0;
    if (receivedBytes < mostBytes && receivedBytes < (worst?.receivedBytes ?? Number.MAX_VALUE)) {
      worst = server;
    }
    mostBytes = Math.max(mostBytes, receivedBytes);
  }
  return worst?.serverId ?? null;
}
