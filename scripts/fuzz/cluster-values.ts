import type { LocalCluster } from "../../client/cli/cluster/local-cluster.ts";
import type { FileSystem } from "../../client/file-system.ts";
import type { ClusterId, MemberId, SessionId } from "../../shared/base/ids.ts";
import type { CallMethod } from "../../shared/protocol/method.ts";
import * as api from "../../shared/protocol/namespace-api.ts";
import { raftHello } from "../../shared/protocol/raft-api.ts";
import type { Connection } from "../../shared/wire/rpc.ts";
import type { KnownValues } from "./values.ts";

const TIMEOUT_MS = 20_000;
const CHUNK_BYTES = 1024 * 1024;
const PATHS = ["/", "/fuzz", "/fuzz/inline", "/fuzz/chunks", "/fuzz/dir", "/fuzz/none", "/a/b/c"];
const NAMES = ["inline", "chunks", ".", "..", "a/b"];
/** A member id that no master of the run has. */
const NO_MEMBER = 99 as MemberId;

/** The cluster under test, and connections to its leader. */
export interface Subject {
  readonly cluster: LocalCluster;
  readonly fileSystem: FileSystem;
  readonly leader: Connection;
  /** A connection to the leader as a master of the cluster. */
  readonly peer: Connection;
}

/** Makes the files that earlier requests have removed, and returns values that the cluster knows. */
export async function readKnownValues(subject: Subject): Promise<KnownValues> {
  const { cluster, fileSystem, leader } = subject;
  await fileSystem.mkdir("/fuzz/dir", { parents: true });
  await fileSystem.writeFile("/fuzz/inline", "inline", { replace: true });
  await fileSystem.writeFile("/fuzz/chunks", new Uint8Array(CHUNK_BYTES + 1), { replace: true });
  const path = bytesOf("/fuzz/chunks");
  const located = await call(leader, api.locate, {
    ...{ target: { path }, read: { kind: "linearizable" }, firstPosition: 0, count: 10 },
  });
  const { intents } = await call(leader, api.allocate, {
    ...{ target: { path }, count: 2, chunkSizeBytes: CHUNK_BYTES },
    ...{ exclude: [], keep: [], clientHost: "fuzz" },
  });
  const sessions: SessionId[] = [];
  for (let count = 0; count < 3; count += 1) {
    sessions.push((await call(leader, api.openSession, { clientName: "fuzz" })).sessionId);
  }
  const { index, attributes, chunks, servers } = located;
  const { masters } = await fileSystem.status();
  const clusterId = cluster.clusterId as ClusterId;
  return {
    paths: [...PATHS, ...NAMES].map(bytesOf),
    integers: [index, index + 1, attributes.inode, CHUNK_BYTES],
    shortIds: [clusterId, ...servers.map(({ serverId }) => serverId)],
    chunkIds: chunks.map(({ id }) => id),
    texts: ["default", ...cluster.masters, ...servers.map(({ address }) => address), "127.0.0.1:1"],
    raftTerm: Math.max(1, ...masters.map(({ term }) => term ?? 0)),
    fields: {
      sessionId: sessions,
      clusterId: [clusterId],
      serverId: servers.map(({ serverId }) => serverId),
      intent: intents,
      incarnation: await incarnationsOf(subject, clusterId),
      fromIncarnation: await incarnationsOf(subject, clusterId),
      storageClass: ["default"],
      chunkSizeBytes: [CHUNK_BYTES],
      from: [1, 2, 3],
      to: [1, 2, 3],
    },
    harmless: {
      "masters.change.promote": [[], [NO_MEMBER], [Number.MAX_SAFE_INTEGER], [1, 1]],
      "masters.change.remove": [[], [NO_MEMBER], [Number.MAX_SAFE_INTEGER]],
      "masters.transfer.to": [NO_MEMBER, 0, Number.MAX_SAFE_INTEGER],
    },
  };
}

/** Returns the incarnations of the masters that answer as another master would ask them. */
async function incarnationsOf({ peer }: Subject, clusterId: ClusterId): Promise<string[]> {
  const found: string[] = [];
  for (const to of [1, 2, 3] as MemberId[]) {
    const from = ((to % 3) + 1) as MemberId;
    try {
      const reply = await call(peer, raftHello, { clusterId, from, to, fromIncarnation: "" });
      found.push(reply.incarnation);
    } catch {
      // Only one of the masters has this id, and it may know another incarnation of `from`.
    }
  }
  return found.length === 0 ? [""] : found;
}

async function call<Request, Response>(
  connection: Connection,
  method: CallMethod<Request, Response>,
  request: Request,
): Promise<Response> {
  const reply = await connection.call(method, request, { timeoutMs: TIMEOUT_MS });
  reply.release();
  return reply.head;
}

function bytesOf(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}
