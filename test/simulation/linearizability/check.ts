import { assert, present } from "../../../shared/base/assert.ts";
import type { History, Operation, SequentialModel } from "./history.ts";
import { partitionByKey } from "./history.ts";
import {
  ExhaustiveMemory,
  KnownOnlyMemory,
  PlacedSet,
  type SearchMemory,
} from "./search-memory.ts";

/** Steps of the model after which a search is given up: far more than any real history took. */
const STEPS_MAX = 20_000_000;

export type CheckResult<Input, Output> =
  | { readonly kind: "linearizable" }
  | {
      readonly kind: "violation";
      readonly key: string;
      /** All operations of the key. */
      readonly history: History<Input, Output>;
    };

/** Whether there is one order of the operations that explains every answer (Herlihy and Wing 1990). */
export function checkHistory<State, Input, Output>(
  model: SequentialModel<State, Input, Output>,
  history: History<Input, Output>,
): CheckResult<Input, Output> {
  // Linearizability is local: a history is linearizable if that of each object is (their theorem 1).
  for (const [key, part] of partitionByKey(history)) {
    if (!isLinearizable(model, part)) return { kind: "violation", key, history: part };
  }
  return { kind: "linearizable" };
}

export function isLinearizable<State, Input, Output>(
  model: SequentialModel<State, Input, Output>,
  history: History<Input, Output>,
): boolean {
  const simplified = model.simplify?.(history) ?? history;
  // An order that a hasty search finds is one; that there is none only a thorough one may say.
  return [new KnownOnlyMemory(), new ExhaustiveMemory()].some((memory) =>
    new Search(model, simplified, memory).run(),
  );
}

/** A call or a return, in the list of what is not linearized yet, by time. */
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
 * The search of Wing and Gong (1993) with Lowe's cache (2017), as Porcupine has it.
 *
 * It takes the operations that may come first (those called before the first return that is left),
 * tries one after the other, and goes back a step when a return is reached whose operation could
 * not be placed. Operations that led to a state once are not tried again. One of unknown output has
 * no return: it can be placed anywhere behind its call, and the search ends without it.
 */
class Search<State, Input, Output> {
  readonly #model: SequentialModel<State, Input, Output>;
  readonly #history: History<Input, Output>;
  readonly #head: Node = { position: -1, kind: "call", previous: null, next: null };
  readonly #returns: (Node | null)[];
  /** For one of unknown output: the same one that was called before it, which is to be placed first. */
  readonly #sameBefore: (number | null)[];
  readonly #placed: PlacedSet;
  readonly #memory: SearchMemory;
  readonly #steps: Step<State>[] = [];
  #state: State;
  /** Operations with a known output that are not placed. */
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
    this.#state = model.initial;
    this.#placed = new PlacedSet(history.map(({ output }) => output !== null));
    this.#returns = history.map(() => null);
    this.#sameBefore = history.map(() => null);
    this.#link();
  }

  run(): boolean {
    let node = this.#head.next;
    while (this.#missingCount > 0) {
      const current = present(node, "an operation that is missing has a return in the list");
      if (current.kind === "call") {
        node = this.#place(current) ? this.#head.next : current.next;
        continue;
      }
      const last = this.#undoLast();
      if (last === null) return false;
      node = last.next;
    }
    return true;
  }

  /** All calls and known returns, by time; calls first, so that what touches is concurrent. */
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

  /** @returns false if it cannot come next, or all that would follow was tried. */
  #place(node: Node): boolean {
    const same = this.#sameBefore[node.position] ?? null;
    if (same !== null && !this.#placed.has(same)) return false;
    const { input, output } = this.#operationOf(node);
    this.#stepCount += 1;
    assert(this.#stepCount < STEPS_MAX, "a history is small enough to be searched");
    const state = this.#model.step(this.#state, input, output);
    if (state === null) return false;
    this.#placed.toggle(node.position);
    if (!this.#memory.isNew(this.#model.describeState(state), this.#placed)) {
      this.#placed.toggle(node.position);
      return false;
    }
    this.#steps.push({ node, stateBefore: this.#state });
    this.#state = state;
    const returned = this.#returns[node.position] ?? null;
    unlink(node);
    if (returned !== null) {
      unlink(returned);
      this.#missingCount -= 1;
    }
    return true;
  }

  /** @returns the call that was placed last, back in the list; null: none is left. */
  #undoLast(): Node | null {
    const step = this.#steps.pop();
    if (step === undefined) return null;
    const { node, stateBefore } = step;
    const returned = this.#returns[node.position] ?? null;
    if (returned !== null) {
      relink(returned);
      this.#missingCount += 1;
    }
    relink(node);
    this.#placed.toggle(node.position);
    this.#state = stateBefore;
    return node;
  }

  #operationOf(node: Node): Operation<Input, Output> {
    return present(this.#history[node.position], "a node stands for an operation");
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

/** Puts a node back where it was. Nodes come back in the reverse order of their leaving. */
function relink(node: Node): void {
  if (node.previous !== null) node.previous.next = node;
  if (node.next !== null) node.next.previous = node;
}
