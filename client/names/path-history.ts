import type { LogIndex } from "../../shared/base/ids.ts";
import { joinPath, type PathInput, parsePath } from "../../shared/base/path.ts";
import { history } from "../../shared/protocol/history-api.ts";
import type { Attributes } from "../../shared/protocol/namespace-api.ts";
import type { MasterSession } from "../masters/master-session.ts";
import type { CallOptions } from "../options.ts";

const PAGE_SIZE = 200;

/** What an entry did to a path. */
export interface PathVersion {
  readonly index: number;
  /** By the masters' clock, in milliseconds since the epoch. */
  readonly timeMs: number;
  /**
   * `existing`: there already when the history begins, since `index`; `replaced`: another file took
   * the name in one step; `content` and `attributes` change what is there.
   */
  readonly change:
    | "existing"
    | "created"
    | "moved-here"
    | "replaced"
    | "content"
    | "attributes"
    | "moved-away"
    | "removed";
  /** What is there from `index` on; null where nothing is. */
  readonly attributes: Attributes | null;
  /** Where it came from or went to, as of then. */
  readonly otherPath: Uint8Array | null;
}

/** What happened at a path, oldest first, as far as the history reaches back. */
export async function* pathHistory(
  masters: MasterSession,
  path: PathInput,
  call: CallOptions,
): AsyncGenerator<PathVersion, void, void> {
  const request = { path: joinPath(parsePath(path)), limit: PAGE_SIZE };
  for (let from: LogIndex | null | undefined; from !== null; ) {
    const start: { from?: LogIndex } = from === undefined ? {} : { from };
    const page = await masters.read(history, { ...request, ...start }, call);
    yield* page.versions;
    from = page.next;
  }
}
