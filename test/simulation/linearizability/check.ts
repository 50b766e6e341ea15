import { assert, present } from "../../../shared/base/assert.ts";
import type { History, Operation, SequentialModel } from "./history.ts";
import { partitionByKey } from "./history.ts";
import {
  CompleteSearchMemory,
  FastSearchMemory,
  PlacedSet,
  RelaxedSearchMemory,
  type SearchMemory,
} from "./search-memory.ts";

/** Bound of the model steps of a search. Real histories need far fewer. */
const STEPS_MAX = 20_000_000;

/** The result of checking a history. */
export type CheckResult<Input, Output> =
  | { readonly kind: "linearizable" }
  | {
      readonly kind: "violation";
      readonly key: string;
      /** All operations of the key. */
      readonly history: History<Input, Output>;
    };

/**
 * Checks a history for linearizability: there must be one order of the operations that explains
 * every answer (Herlihy and Wing 1990).
 */
export function checkHistory<State, Input, Output>(
  model: SequentialModel<State, Input, Output>,
  history: History<Input, Output>,
): CheckResult<Input, Output> {
  // Linearizability is local (their theorem 1): it suffices to check the history of each key.
  for (const [key, part] of partitionByKey(history)) {
    if (!isLinearizable(model, part)) return { kind: "violation", key, history: part };
  }
  return { kind: "linearizable" };
}

/** Returns whether the history of one key is linearizable. */
export function isLinearizable<State, Input, Output>(
  model: SequentialModel<State, Input, Output>,
  history: History<Input, Output>,
): boolean {
  const simplified = model.simplify?.(history) ?? history;
  const run = (memory: SearchMemory) => new Search(model, simplified, memory).run();
  // An order that the fast search finds is valid. If the relaxed search finds none, there is none.
  if (run(new FastSearchMemory())) return true;
  return run(new RelaxedSearchMemory()) && run(new CompleteSearchMemory());
}

/** Returns whether the fast search finds an order. It visits only states that can be reached. */
export function isOrderFoundFast<State, Input, Output>(
  model: SequentialModel<State, Input, Output>,
  history: History<Input, Output>,
): boolean {
  return new Search(model, history, new FastSearchMemory()).run();
}

/** A call or a return in the list of operations that are not placed yet, sorted by time. */
interface Node {
  readonly position: number;
  readonly kind: "call" | "return";
  previous: Node | null;
  next: Node | null;
}

interface Step<State> {
  readonly node: Node;
  readonly stateBefore: State;
}

/**
 * The search of Wing and Gong (1993) with the cache of Lowe (2017), as in Porcupine.
 *
 * The search tries to place next each operation that was called before the first remaining return.
 * It backtracks when it reaches the return of an operation that is not placed. The memory excludes
 * sets of placed operations that led to the same state before. An operation of unknown output has
 * no return: it may be placed anywhere after its call, or not at all. It is placed as late as
 * possible: only if no operation of known output can be next. If it were placed at once, a write that
 * took effect long after its call would make the search fail at the end of the history, for every
 * choice of the other such writes. The relaxed search keeps such an operation in the list after it
 * was placed.
 */
class Search<State, Input, Output> {
  readonly #model: SequentialModel<State, Input, Output>;
  readonly #history: History<Input, Output>;
  readonly #head: Node = { position: -1, kind: "call", previous: null, next: null };
  readonly #returns: (Node | null)[];
  /**
   * For an operation of unknown output: the last equal one that was called before it. Equal
   * operations are placed in the order of their calls only.
   */
  readonly #sameBefore: (number | null)[];
  readonly #placed: PlacedSet;
  readonly #memory: SearchMemory;
  readonly #steps: Step<State>[] = [];
  #state: State;
  /** Operations of known output that are not placed yet. */
  #missingCount = 0;
  #stepCount = 0;

  constructor(
    model: SequentialModel<State, Input, Output>,
    history: History<Input, Output>,
    memory: SearchMemory,
  ) {
    this.#model = model;
    this.#memory = memory;
    this.#history = history;
    this.#state = model.start(history);
    this.#placed = new PlacedSet(history.map(({ output }) => output !== null));
    this.#returns = history.map(() => null);
    this.#sameBefore = history.map(() => null);
    this.#link();
  }

  run(): boolean {
    let node = this.#head.next;
    /** Whether the calls of unknown output are tried. Those of known output are tried first. */
    let isUnknownTurn = false;
    while (this.#missingCount > 0) {
      const current = present(node, "the list has the return of an operation that is not placed");
      if (current.kind === "call") {
        const isPlaced = this.#isUnknown(current) === isUnknownTurn && this.#place(current);
        node = isPlaced ? this.#head.next : current.next;
        if (isPlaced) isUnknownTurn = false;
        continue;
      }
      if (!isUnknownTurn) {
        isUnknownTurn = true;
        node = this.#head.next;
        continue;
      }
      const last = this.#undoLast();
      if (last === null) return false;
      isUnknownTurn = this.#isUnknown(last);
      node = last.next;
    }
    return true;
  }

  /** Whether the operation stays in the list after it was placed. */
  #isRepeatable(node: Node): boolean {
    return this.#memory.repeatsUnknown && this.#isUnknown(node);
  }

  #isUnknown(node: Node): boolean {
    return this.#operationOf(node).output === null;
  }

  /**
   * Builds the list of all calls and known returns, sorted by time. At equal times calls come
   * first, so that the operations are concurrent.
   */
  #link(): void {
    const nodes: { readonly node: Node; readonly time: number }[] = [];
    for (const [position, operation] of this.#history.entries()) {
      const { callTime, returnTime, output } = operation;
      nodes.push({ node: makeNode(position, "call"), time: callTime });
      if (output === null) continue;
      assert(returnTime >= callTime, "an operation returns after its call");
      const node = makeNode(position, "return");
      this.#returns[position] = node;
      this.#missingCount += 1;
      nodes.push({ node, time: returnTime });
    }
    this.#linkSame();
    nodes.sort((left, right) => left.time - right.time || rankOf(left.node) - rankOf(right.node));
    let last = this.#head;
    for (const { node } of nodes) {
      last.next = node;
      node.previous = last;
      last = node;
    }
  }

  #linkSame(): void {
    const last = new Map<string, number>();
    const unknown = [...this.#history.entries()].filter(([, { output }]) => output === null);
    unknown.sort(([, left], [, right]) => left.callTime - right.callTime);
    for (const [position, { input }] of unknown) {
      const text = this.#model.describe(input, null);
      this.#sameBefore[position] = last.get(text) ?? null;
      last.set(text, position);
    }
  }

  /** Places an operation. @returns false if it cannot be next, or if the memory excludes it */
  #place(node: Node): boolean {
    const isRepeatable = this.#isRepeatable(node);
    const same = this.#sameBefore[node.position] ?? null;
    if (same !== null && (isRepeatable || !this.#placed.has(same))) return false;
    const { input, output } = this.#operationOf(node);
    this.#stepCount += 1;
    assert(this.#stepCount < STEPS_MAX, "the search ends within STEPS_MAX steps");
    const state = this.#model.step(this.#state, input, output);
    if (state === null) return false;
    // An operation of unknown output that changes nothing is needed in no order.
    if (output === null && state === this.#state) return false;
    if (!isRepeatable) this.#placed.toggle(node.position);
    if (!this.#memory.isNew(this.#model.keyOf(state), this.#placed)) {
      if (!isRepeatable) this.#placed.toggle(node.position);
      return false;
    }
    this.#steps.push({ node, stateBefore: this.#state });
    this.#state = state;
    if (isRepeatable) return true;
    const returned = this.#returns[node.position] ?? null;
    unlink(node);
    if (returned !== null) {
      unlink(returned);
      this.#missingCount -= 1;
    }
    return true;
  }

  /** Removes the last placed operation. @returns its call, which is in the list again, or null */
  #undoLast(): Node | null {
    const step = this.#steps.pop();
    if (step === undefined) return null;
    const { node, stateBefore } = step;
    this.#state = stateBefore;
    if (this.#isRepeatable(node)) return node;
    const returned = this.#returns[node.position] ?? null;
    if (returned !== null) {
      relink(returned);
      this.#missingCount += 1;
    }
    relink(node);
    this.#placed.toggle(node.position);
    return node;
  }

  #operationOf(node: Node): Operation<Input, Output> {
    return present(this.#history[node.position], "every node has an operation");
  }
}

const makeNode = (position: number, kind: Node["kind"]): Node => {
  return { position, kind, previous: null, next: null };
};

const rankOf = (node: Node): number => (node.kind === "call" ? 0 : 1);

function unlink(node: Node): void {
  if (node.previous !== null) node.previous.next = node.next;
  if (node.next !== null) node.next.previous = node.previous;
}

/** Inserts a node at its old place. Nodes must be relinked in the reverse order of `unlink`. */
function relink(node: Node): void {
  if (node.previous !== null) node.previous.next = node;
  if (node.next !== null) node.next.previous = node;
}
