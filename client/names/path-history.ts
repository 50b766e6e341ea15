import type { LogIndex } from "../../shared/base/ids.ts";
import { joinPath, type PathInput, parsePath, pathText } from "../../shared/base/path.ts";
import { history } from "../../shared/protocol/history-api.ts";
import type { MasterSession } from "../masters/master-session.ts";
import type { CallOptions } from "../options.ts";
import type { PathVersion } from "../results.ts";

/** Versions fetched by one call. */
const PAGE_SIZE = 200;

/**
 * Yields the changes at a path that the history contains, oldest first.
 *
 * @throws {AshlarError} INVALID_ARGUMENT for a malformed path; errors of calls to the masters.
 */
export async function* pathHistory(
  masters: MasterSession,
  path: PathInput,
  call: CallOptions,
): AsyncGenerator<PathVersion, void, void> {
  const request = { path: joinPath(parsePath(path)), limit: PAGE_SIZE };
  for (let from: LogIndex | null | undefined; from !== null; ) {
    const start: { from?: LogIndex } = from === undefined ? {} : { from };
    const page = await masters.read(history, { ...request, ...start }, call);
    for (const version of page.versions) {
      const { otherPath } = version;
      const text = otherPath === null ? null : pathText(otherPath);
      yield { ...version, otherPath: text, otherPathBytes: otherPath };
    }
    from = page.next;
  }
}
