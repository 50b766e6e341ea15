import { type AshlarError, isAshlarError } from "../../shared/base/errors.ts";
import type { LogIndex } from "../../shared/base/ids.ts";
import type { EntryName } from "../../shared/base/path.ts";
import type { Attributes } from "../../shared/protocol/attributes.ts";
import type { Target } from "../../shared/protocol/namespace-api.ts";
import type { CallContext } from "../../shared/wire/rpc.ts";
import type { Namespace } from "../namespace/namespace.ts";
import { ReadBudget } from "../namespace/read-budget.ts";
import type { ListingPage } from "../namespace/views.ts";
import type { MasterDeps } from "./leader-context.ts";
import { PartWork } from "./part-work.ts";

/** Rows of a part of a call, after which the next targets are read in another part: about 5 ms. */
const ROWS_PER_PART = 5_000;
/** Rows of a call after which the remaining targets are refused. */
const ROWS_PER_CALL = 200_000;

type TreeReadDeps = Pick<MasterDeps, "namespace">;
type TurnContext = Pick<CallContext, "turn">;

/**
 * Returns the attributes of all targets as of one index, or the error of a target: it does not fail the
 * others. The targets share the bound of the work.
 */
export async function statAll(
  deps: TreeReadDeps,
  { targets, at }: { readonly targets: readonly Target[]; readonly at: LogIndex | undefined },
  context: TurnContext,
): Promise<{ readonly index: LogIndex; readonly results: (Attributes | AshlarError)[] }> {
  const index = at ?? deps.namespace().appliedIndex;
  const results: (Attributes | AshlarError)[] = [];
  const work = new PartWork(context, ROWS_PER_PART);
  let callRows = 0;
  for (const target of targets) {
    if (work.add(0)) await work.nextPart();
    const budget = callRows > ROWS_PER_CALL ? new ReadBudget(0) : new ReadBudget();
    results.push(statResult(deps.namespace(), { target, index, budget }));
    work.add(budget.rows);
    callRows += budget.rows;
  }
  return { index, results };
}

function statResult(
  namespace: Namespace,
  read: { readonly target: Target; readonly index: LogIndex; readonly budget: ReadBudget },
): Attributes | AshlarError {
  try {
    return namespace.stat(read.target, read.index, read.budget);
  } catch (error) {
    if (isAshlarError(error)) return error;
    throw error;
  }
}

/**
 * Returns a page of a directory. Searches for an entry in several parts if the caller does not accept a page
 * without entries. No entries wait between parts: thousands of calls would hold them.
 */
export async function listPage(
  { namespace }: TreeReadDeps,
  page: {
    readonly target: Target;
    readonly index: LogIndex;
    readonly limit: number;
    readonly after: EntryName | undefined;
  },
  { acceptsEmpty, context }: { readonly acceptsEmpty: boolean; readonly context: TurnContext },
): Promise<{
  readonly index: LogIndex;
  readonly entries: ListingPage["entries"][number][];
  readonly isLast: boolean;
  readonly after?: EntryName;
}> {
  const { target, index, limit } = page;
  let { after } = page;
  for (;;) {
    const found = namespace().list(target, { after, limit }, index);
    const entries = [...found.entries];
    if (found.after === null) return { index, entries, isLast: true };
    if (entries.length > 0 || acceptsEmpty) {
      return { index, entries, isLast: false, after: found.after };
    }
    ({ after } = found);
    await context.turn();
  }
}
