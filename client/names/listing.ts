import { AshlarError } from "../../shared/base/errors.ts";
import type { LogIndex } from "../../shared/base/ids.ts";
import { displayName, type EntryName } from "../../shared/base/path.ts";
import { LIST_LIMIT_MAX, list, type Target } from "../../shared/protocol/namespace-api.ts";
import type { MasterSession } from "../masters/master-session.ts";
import type { CallOptions, ListPageOptions } from "../options.ts";
import type { DirectoryEntry, ListPage } from "../results.ts";

const PAGE_SIZE = 1_000;

/** `ListOptions` with `at` resolved to a log index. Undefined: the current state. */
export type ListPlan = CallOptions & {
  readonly pageSize?: number;
  readonly index?: LogIndex | undefined;
};

type PagePlan = Omit<ListPageOptions, "at"> & { readonly index?: LogIndex | undefined };

/**
 * Resolves with one page of a directory, sorted by the bytes of the names.
 *
 * @throws {AshlarError} INVALID_ARGUMENT for a limit outside 1 to 10,000; NOT_FOUND,
 *   NOT_A_DIRECTORY, INDEX_EXPIRED.
 */
export async function listPage(
  masters: MasterSession,
  target: Target,
  options: PagePlan,
): Promise<ListPage> {
  const { cursor, limit = PAGE_SIZE, index: at } = options;
  if (!Number.isInteger(limit) || limit < 1 || limit > LIST_LIMIT_MAX) {
    throw new AshlarError(
      "INVALID_ARGUMENT",
      `Cannot list a page: expected a limit of 1 to ${LIST_LIMIT_MAX}: current value is ${limit}`,
    );
  }
  const start =
    cursor === undefined
      ? undefined
      : { index: cursor.index as LogIndex, after: cursor.after as EntryName };
  const request = { target, limit, ...(at === undefined ? {} : { index: at }) };
  const found = await nonEmptyPage(masters, request, { start, options });
  const { index, entries, isLast, after = entries.at(-1)?.name } = found;
  return {
    index,
    entries: entries.map(toEntry),
    next: isLast || after === undefined ? null : { index, after },
  };
}

/**
 * Returns a page with an entry, or the last one. A master answers without entries after it has skipped
 * many names that did not exist at the index.
 */
async function nonEmptyPage(
  masters: MasterSession,
  request: { readonly target: Target; readonly limit: number; readonly index?: LogIndex },
  {
    start,
    options,
  }: {
    readonly start: { readonly index: LogIndex; readonly after: EntryName } | undefined;
    readonly options: PagePlan;
  },
) {
  let cursor = start;
  for (;;) {
    const position = cursor === undefined ? {} : { cursor };
    const head = { ...request, ...position, acceptsEmptyPages: true };
    const page = await masters.read(list, head, options);
    const { index, after } = page;
    if (page.entries.length > 0 || page.isLast || after === undefined) return page;
    cursor = { index, after };
  }
}

function toEntry(entry: Pick<DirectoryEntry, "name" | "attributes">): DirectoryEntry {
  const { name, attributes } = entry;
  return { name, displayName: displayName(name), attributes };
}

/** Yields all entries at one log index. Fetches the next page while the current one is consumed. */
export async function* listAll(
  masters: MasterSession,
  target: Target,
  options: ListPlan,
  first: Promise<ListPage> = firstPage(masters, target, options),
): AsyncGenerator<DirectoryEntry, void, void> {
  let nextPage: Promise<ListPage> | null = first;
  try {
    while (nextPage !== null) {
      const page: ListPage = await nextPage;
      nextPage = null;
      if (page.next !== null) {
        nextPage = listPage(masters, target, { ...pageOptions(options), cursor: page.next });
        // Awaited by the next iteration, unless the consumer stops before.
        nextPage.catch(() => {});
      }
      yield* page.entries;
    }
  } finally {
    await nextPage?.catch(() => {});
  }
}

/** Resolves with the first page of a listing. */
export function firstPage(
  masters: MasterSession,
  target: Target,
  options: ListPlan,
): Promise<ListPage> {
  return listPage(masters, target, pageOptions(options));
}

function pageOptions({ signal, timeoutMs, readMode, pageSize, index }: ListPlan): PagePlan {
  return {
    index,
    ...(readMode === undefined ? {} : { readMode }),
    ...(signal === undefined ? {} : { signal }),
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
    ...(pageSize === undefined ? {} : { limit: pageSize }),
  };
}
