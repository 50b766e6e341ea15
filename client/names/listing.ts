import { AshlarError } from "../../shared/base/errors.ts";
import type { LogIndex } from "../../shared/base/ids.ts";
import { displayName, type EntryName } from "../../shared/base/path.ts";
import { LIST_LIMIT_MAX, list, type Target } from "../../shared/protocol/namespace-api.ts";
import type { MasterSession } from "../masters/master-session.ts";
import type { CallOptions, ListPageOptions } from "../options.ts";
import type { DirectoryEntry, ListPage } from "../results.ts";

const PAGE_SIZE = 1_000;

/** `ListOptions` once it is known which index is shown; undefined: the present one. */
export type ListPlan = CallOptions & {
  readonly pageSize?: number;
  readonly index?: LogIndex | undefined;
};

type PagePlan = Omit<ListPageOptions, "at"> & { readonly index?: LogIndex | undefined };

/** One page of a directory, sorted by the bytes of the name. */
export async function listPage(
  masters: MasterSession,
  target: Target,
  options: PagePlan,
): Promise<ListPage> {
  const { cursor, limit = PAGE_SIZE, index: at } = options;
  if (!Number.isInteger(limit) || limit < 1 || limit > LIST_LIMIT_MAX) {
    throw new AshlarError(
      "INVALID_ARGUMENT",
      `Cannot list ${limit} entries at a time: expected 1 to ${LIST_LIMIT_MAX}`,
    );
  }
  const request = {
    target,
    limit,
    ...(at === undefined ? {} : { index: at }),
    ...(cursor === undefined
      ? {}
      : { cursor: { index: cursor.index as LogIndex, after: cursor.after as EntryName } }),
  };
  const { index, entries, isLast } = await masters.read(list, request, options);
  const last = entries.at(-1);
  return {
    index,
    entries: entries.map(toEntry),
    next: isLast || last === undefined ? null : { index, after: last.name },
  };
}

function toEntry(entry: Pick<DirectoryEntry, "name" | "attributes">): DirectoryEntry {
  const { name, attributes } = entry;
  return { name, displayName: displayName(name), attributes };
}

/** All entries, all of one index; the next page is fetched while one is consumed. */
export async function* listAll(
  masters: MasterSession,
  target: Target,
  options: ListPlan,
  first: Promise<ListPage> = firstPage(masters, target, options),
): AsyncGenerator<DirectoryEntry, void, void> {
  let coming: Promise<ListPage> | null = first;
  try {
    while (coming !== null) {
      const page: ListPage = await coming;
      coming = null;
      if (page.next !== null) {
        coming = listPage(masters, target, { ...pageOptions(options), cursor: page.next });
        coming.catch(() => {}); // Awaited in the next round, unless the consumer leaves before.
      }
      yield* page.entries;
    }
  } finally {
    await coming?.catch(() => {});
  }
}

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
