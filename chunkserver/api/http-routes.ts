import Router from "@koa/router";
import type { Middleware } from "koa";
import { toErrorData } from "../../shared/base/errors.ts";
import type { ChunkStore } from "../store/chunk-store.ts";

/** `GET /chunks`: what this server holds, in sums. */
export function chunkRoutes(store: ChunkStore): Middleware {
  const router = new Router();
  router.get("/chunks", async (context) => {
    const { tally } = store;
    context.body = {
      serverId: store.serverId,
      clusterId: store.clusterId,
      chunkCount: tally.chunkCount,
      chunkBytes: tally.chunkBytes,
      unconfirmedCount: tally.unconfirmedCount,
      openWriteCount: store.openWriteCount,
      packedFileCount: store.packedFileCount,
      packedDeadBytes: store.packedDeadBytes,
      space: await store.space(),
      diskFailure: store.failure === null ? null : toErrorData(store.failure).message,
    };
  });
  return router.routes() as Middleware;
}
