import { present } from "../../../shared/base/assert.ts";
import { checkHistory, isLinearizable, isOrderFoundFast } from "./check.ts";
import type { History, Operation, SequentialModel } from "./history.ts";

/** A minimal part of a history that is not linearizable. */
export interface Counterexample<Input, Output> {
  readonly key: string;
  /** All operations up to the failed one, without the reads that the failure does not need. */
  readonly history: History<Input, Output>;
  /** The operation of `history` whose return made the history fail. */
  readonly failedOperation: Operation<Input, Output>;
}

/** Thrown if a history is not linearizable. The message shows the counterexample. */
class LinearizabilityViolation extends Error {
  override readonly name = "LinearizabilityViolation";
}

/** Checks a history. @throws {LinearizabilityViolation} with a counterexample */
export function requireLinearizable<State, Input, Output>(
  model: SequentialModel<State, Input, Output>,
  history: History<Input, Output>,
): void {
  const result = checkHistory(model, history);
  if (result.kind === "linearizable") return;
  const counterexample = findCounterexample(model, result);
  throw new LinearizabilityViolation(drawCounterexample(model, counterexample));
}

/**
 * Finds the shortest prefix that is not linearizable. A prefix of a linearizable history is
 * linearizable, so a binary search finds the first return that makes the history fail.
 */
export function findCounterexample<State, Input, Output>(
  model: SequentialModel<State, Input, Output>,
  violation: { readonly key: string; readonly history: History<Input, Output> },
): Counterexample<Input, Output> {
  const { key, history } = violation;
  const returns = history.filter((operation) => operation.output !== null);
  returns.sort((left, right) => left.returnTime - right.returnTime);
  let low = 0;
  let high = returns.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (isLinearizable(model, prefixOf(history, returns.slice(0, middle + 1)))) low = middle + 1;
    else high = middle;
  }
  const failedOperation = present(returns[low], "a history that fails has a known output");
  const prefix = prefixOf(history, returns.slice(0, low + 1));
  return { key, history: withoutNeedlessReads(model, prefix, failedOperation), failedOperation };
}

/**
 * Returns the history at the last return of `answered`. Every other operation that was called
 * before has an unknown output.
 */
function prefixOf<Input, Output>(
  history: History<Input, Output>,
  answered: History<Input, Output>,
): History<Input, Output> {
  const known = new Set(answered);
  const time = present(answered.at(-1), "a prefix has a known output").returnTime;
  return history
    .filter((operation) => operation.callTime <= time)
    .map((operation) => (known.has(operation) ? operation : { ...operation, output: null }));
}

/** Removes reads one by one while the history still fails. A read does not change the state. */
function withoutNeedlessReads<State, Input, Output>(
  model: SequentialModel<State, Input, Output>,
  history: History<Input, Output>,
  failedOperation: Operation<Input, Output>,
): History<Input, Output> {
  let remaining = history;
  for (const operation of history) {
    if (operation === failedOperation || !model.isRead(operation.input, operation.output)) continue;
    const fewer = remaining.filter((each) => each !== operation);
    if (!isLinearizable(model, fewer)) remaining = fewer;
  }
  return remaining;
}

/**
 * Draws a row for each process, with the time from left to right:
 *
 *     p1  ├ put x = 1 → ok ┤
 *     p2                      ├ get x → nothing ┤  <- cannot be explained
 */
function drawCounterexample<State, Input, Output>(
  model: SequentialModel<State, Input, Output>,
  { key, history, failedOperation }: Counterexample<Input, Output>,
): string {
  const bars = history.map((operation) => {
    return { operation, text: ` ${model.describe(operation.input, operation.output)} ` };
  });
  const columns = layOut(bars);
  const processes = [...new Set(history.map((operation) => operation.process))].sort();
  const nameWidth = Math.max(...processes.map((name) => name.length));
  const rows = processes.map((process) => {
    let row = process.padEnd(nameWidth + 2);
    const own = bars.filter((bar) => bar.operation.process === process);
    own.sort((left, right) => left.operation.callTime - right.operation.callTime);
    for (const bar of own) {
      const { callTime } = bar.operation;
      row = row.padEnd(nameWidth + 2 + columnOf(columns, callTime, "call"));
      row += drawBar(bar, columns);
      if (bar.operation === failedOperation) row += "  <- cannot be explained";
    }
    return row;
  });
  const operationText = model.describe(failedOperation.input, failedOperation.output);
  const headline = `Not linearizable: key ${key}, process ${failedOperation.process}: ${operationText}`;
  const states = statesBefore(model, history, failedOperation);
  return [headline, "", ...rows, "", `It could have found: ${states.join("; or ")}`].join("\n");
}

interface Bar<Input, Output> {
  readonly operation: Operation<Input, Output>;
  readonly text: string;
}

/** The columns of events: a call is the left end of its bar, a return the right end. */
type Columns = ReadonlyMap<string, number>;

function columnOf(columns: Columns, time: number, kind: "call" | "return"): number {
  return present(columns.get(`${kind} ${time}`), "every event has a column");
}

/** Assigns columns to events in the order of time, as close together as the texts allow. */
function layOut<Input, Output>(bars: readonly Bar<Input, Output>[]): Columns {
  const columns = new Map<string, number>();
  const events = bars.flatMap((bar) => {
    const { callTime, returnTime, output } = bar.operation;
    const call = { time: callTime, rank: 0, bar };
    return output === null ? [call] : [call, { time: returnTime, rank: 1, bar }];
  });
  events.sort((left, right) => left.time - right.time || left.rank - right.rank);
  let column = -1;
  for (const { time, rank, bar } of events) {
    const name = `${rank === 0 ? "call" : "return"} ${time}`;
    if (!columns.has(name)) column += rank === 0 && column > 0 ? 2 : 1;
    if (rank === 1) {
      const begin = columnOf(columns, bar.operation.callTime, "call");
      column = Math.max(column, begin + bar.text.length + 1);
    }
    columns.set(name, column);
  }
  return columns;
}

function drawBar<Input, Output>({ operation, text }: Bar<Input, Output>, columns: Columns): string {
  const { callTime, returnTime, output } = operation;
  if (output === null) return `├${text}…`;
  const width = columnOf(columns, returnTime, "return") - columnOf(columns, callTime, "call") - 1;
  return `├${text.padEnd(width, "─")}┤`;
}

/**
 * Returns states that the failed operation could have met: those of the fast search. Its output fits
 * none of them.
 */
function statesBefore<State, Input, Output>(
  model: SequentialModel<State, Input, Output>,
  history: History<Input, Output>,
  failedOperation: Operation<Input, Output>,
): readonly string[] {
  const states = new Set<string>();
  type Whole = Operation<Input, Output>;
  const recordingModel: SequentialModel<State, Whole, Output> = {
    // The answer of the failed operation must not limit the states before it.
    start: (wholes) =>
      model.start(
        wholes.map(({ input }) => (input === failedOperation ? { ...input, output: null } : input)),
      ),
    step: (state, operation, output) => {
      if (operation !== failedOperation) return model.step(state, operation.input, output);
      states.add(model.describeState(state));
      return null;
    },
    keyOf: (state) => model.keyOf(state),
    describeState: (state) => model.describeState(state),
    describe: ({ input }, output) => model.describe(input, output),
    isRead: ({ input }, output) => model.isRead(input, output),
  };
  isOrderFoundFast(
    recordingModel,
    history.map((operation) => ({ ...operation, input: operation })),
  );
  return states.size === 0 ? ["unknown"] : [...states];
}
