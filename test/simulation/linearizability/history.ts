/**
 * What one client asked and what it was told. A history is an array of them, in any order.
 *
 * Times are of one clock, in any unit. An operation comes before another if it returned before the
 * other was called; else the two are concurrent, and either may have taken effect first.
 */
export interface Operation<Input, Output> {
  /** A process has one operation at a time. After one that was never answered it is a new process. */
  readonly process: string;
  /** What is linearizable by itself: operations on different keys know nothing of each other. */
  readonly key: string;
  readonly input: Input;
  /** Null: unknown. It may take effect at any time after its call, or never. */
  readonly output: Output | null;
  readonly callTime: number;
  /** Without meaning while the output is unknown. */
  readonly returnTime: number;
}

/** What the object that the clients share would do if it had one client only. */
export interface SequentialModel<State, Input, Output> {
  readonly initial: State;
  /**
   * The state after `input` took effect in `state` and answered `output`; null if it cannot have
   * answered that. An unknown output is never null's reason.
   */
  step(state: State, input: Input, output: Output | null): State | null;
  /**
   * What a counterexample shows of a state. Also what tells states apart: two that the same
   * operations led to and that have the same text are the same.
   */
  describeState(state: State): string;
  /** In one line, without line breaks. */
  describe(input: Input, output: Output | null): string;
  /**
   * The history of one key, its operations of unknown output made as alike as can be without another
   * result: of those that are the same the one that was called first can stand for any.
   */
  simplify?(history: History<Input, Output>): History<Input, Output>;
  /** Whether it leaves every state as it is, so that a counterexample may do without it. */
  isRead(input: Input, output: Output | null): boolean;
}

export type History<Input, Output> = readonly Operation<Input, Output>[];

/** The operations of each key, in the order in which the keys first appear. */
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
