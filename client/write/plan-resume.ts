import { assert } from "../../shared/base/assert.ts";
import { BLOCK_BYTES, type ServerId } from "../../shared/base/ids.ts";

/** What a server of a broken chain said of the partial chunk. */
export interface ChainServer {
  readonly serverId: ServerId;
  readonly address: string;
  /** 0 if it knows nothing of the write; null if it did not answer. */
  readonly receivedBytes: number | null;
}

export type ResumePlan =
  | {
      readonly kind: "resume";
      /** Servers that stay, in chain order; those with the bytes before `resumeAtBytes`. */
      readonly keep: readonly ServerId[];
      /** Who fills up the others; null where there is nothing to fill. */
      readonly fillFrom: string | null;
      readonly resumeAtBytes: number;
      /** Servers that are not to be in the new chain. */
      readonly exclude: readonly ServerId[];
    }
  /** No server has the bytes that were acknowledged and given back here. */
  | { readonly kind: "lost" };

/**
 * How a chunk whose chain broke goes on. Pure.
 *
 * The writer still has every byte from `firstKeptBytes` on, so a survivor is of use if it has all
 * bytes before; the chain resumes at what all such survivors have.
 */
export function planResume(broken: {
  /** In the order of the chain. */
  readonly servers: readonly ChainServer[];
  /** Who broke it, where that is known. */
  readonly blamed: ServerId | null;
  readonly firstKeptBytes: number;
  /** Bytes that were put into the chunk so far. */
  readonly lengthBytes: number;
}): ResumePlan {
  const { servers, blamed, firstKeptBytes, lengthBytes } = broken;
  assert(firstKeptBytes % BLOCK_BYTES === 0, "bytes are given back in whole blocks");
  assert(firstKeptBytes <= lengthBytes, "what was given back was read");
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
  assert(resumeAtBytes >= firstKeptBytes, "what must be sent again is still here");
  return {
    kind: "resume",
    keep: keep.map((server) => server.serverId),
    fillFrom: resumeAtBytes > 0 ? first.address : null,
    resumeAtBytes,
    exclude,
  };
}

/**
 * Who is to blame when a chain stopped without a word and all of its servers answer: the one that
 * got less than the one before it. Null if all have the same.
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
