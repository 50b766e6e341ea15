import Router from "@koa/router";
import type { Middleware } from "koa";
import { toErrorData } from "../../shared/base/errors.ts";
import type { ChunkStore } from "../store/chunk-store.ts";

/**
 * `GET /chunks`: returns the totals of the chunks on this server, its free space and disk state.
 */
export function chunkRoutes(store: ChunkStore): Middleware {
  const router = new Router();
  router.get("/chunks", async (context) => {
    const { totals } = store;
    context.body = {
      serverId: store.serverId,
      clusterId: store.clusterId,
      chunkCount: totals.chunkCount,
      chunkBytes: totals.chunkBytes,
      unconfirmedCount: totals.unconfirmedCount,
      openWriteCount: store.openWriteCount,
      packedFileCount: store.packedFileCount,
      packedDeadBytes: store.packedDeadBytes,
      space: await store.space(),
      diskFailure: store.failure === null ? null : toErrorData(store.failure).message,
    };
  });
  return router.routes() as Middleware;
}
