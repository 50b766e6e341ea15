/**
 * One operation of a client and its answer. A history is an array of operations, in any order.
 *
 * All times are of one clock, in any unit. An operation precedes another if it returned before the
 * other was called. Otherwise the two are concurrent, and either may have taken effect first.
 */
export interface Operation<Input, Output> {
  /**
   * A process has one operation at a time. After an operation without an answer, the client
   * continues as a new process.
   */
  readonly process: string;
  /** The object of the operation. Operations on different keys are independent of each other. */
  readonly key: string;
  readonly input: Input;
  /** Null: unknown. The operation may take effect at any time after its call, or never. */
  readonly output: Output | null;
  readonly callTime: number;
  /** Has no meaning if the output is unknown. */
  readonly returnTime: number;
}

/** The behaviour of the shared object with a single client. */
export interface SequentialModel<State, Input, Output> {
  /** Returns the state before the first operation. It may contain hints from all answers. */
  start(history: History<Input, Output>): State;
  /**
   * Returns the state after `input` took effect in `state` with the answer `output`. Null if this
   * answer is impossible in `state`, or if no order of the history has this operation next.
   * The same object if the operation changes nothing.
   */
  step(state: State, input: Input, output: Output | null): State | null;
  /**
   * Returns the text of a state for the search. If the same operations of known output led to two
   * states with the same text, the search treats the states as equal.
   */
  keyOf(state: State): string;
  /** Returns the text of a state for counterexamples. */
  describeState(state: State): string;
  /** Returns an operation as one line of text. */
  describe(input: Input, output: Output | null): string;
  /**
   * Makes as many operations of unknown output as possible equal. Must not change the result of the
   * check. The search then tries equal operations in the order of their calls only.
   */
  simplify?(history: History<Input, Output>): History<Input, Output>;
  /** Returns whether the operation changes no state, so that a counterexample may omit it. */
  isRead(input: Input, output: Output | null): boolean;
}

/** Operations in any order. */
export type History<Input, Output> = readonly Operation<Input, Output>[];

/** Returns the operations of each key, in the order in which the keys first appear. */
export function partitionByKey<Input, Output>(
  history: History<Input, Output>,
): ReadonlyMap<string, History<Input, Output>> {
  const parts = new Map<string, Operation<Input, Output>[]>();
  for (const operation of history) {
    const part = parts.get(operation.key);
    if (part === undefined) parts.set(operation.key, [operation]);
    else part.push(operation);
  }
  return parts;
}
