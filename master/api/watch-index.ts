import type { FeedPlaces } from "../namespace/feed-query.ts";
import { type WatchedPath, watchedPathOf } from "../namespace/watched-path.ts";

interface Node<Watcher> {
  /**
   * Path of a watcher at or below the node. The path of the node is its first `end` characters. A part of
   * the text would retain the whole text of a watcher that has left.
   */
  text: WatchedPath;
  readonly end: number;
  /** By the first character after the path of the node. */
  readonly children: Map<number, Node<Watcher>>;
  /** The watchers of exactly the path of the node, with that path. */
  readonly watchers: Map<Watcher, WatchedPath>;
}

/**
 * Watchers by the path that they watch: a compressed trie (radix tree) of the characters of the paths. It
 * has at most two nodes for each watcher, however long the paths are. Finds the watchers that an event
 * concerns in a time that depends on the length of its path, and not on the number of the other watchers.
 */
export class WatchIndex<Watcher> {
  readonly #root: Node<Watcher> = nodeAt("" as WatchedPath, 0);
  #size = 0;
  #nodeCount = 1;

  get size(): number {
    return this.#size;
  }

  /** Number of nodes, the root included. */
  get nodeCount(): number {
    return this.#nodeCount;
  }

  /** Adds a watcher of a path. */
  add(within: WatchedPath, watcher: Watcher): void {
    let node = this.#root;
    while (node.end < within.length) node = this.#step(node, within);
    if (node.watchers.has(watcher)) return;
    node.watchers.set(watcher, within);
    this.#size += 1;
  }

  /** Returns the next node on the way from `node` to the path. Adds it if it is missing. */
  #step(node: Node<Watcher>, within: WatchedPath): Node<Watcher> {
    const code = within.charCodeAt(node.end);
    const child = node.children.get(code);
    const end = child === undefined ? within.length : commonEnd(child, node.end, within);
    if (end === child?.end) return child;
    const added = nodeAt<Watcher>(within, end);
    if (child !== undefined) added.children.set(child.text.charCodeAt(end), child);
    node.children.set(code, added);
    this.#nodeCount += 1;
    return added;
  }

  /** Removes a watcher. Does nothing if it was not added. */
  delete(within: WatchedPath, watcher: Watcher): void {
    const above: Node<Watcher>[] = [];
    let node = this.#root;
    while (node.end < within.length) {
      const child = node.children.get(within.charCodeAt(node.end));
      if (child === undefined || commonEnd(child, node.end, within) < child.end) return;
      above.push(node);
      node = child;
    }
    if (!node.watchers.delete(watcher)) return;
    this.#size -= 1;
    for (let parent = above.pop(); parent !== undefined; parent = above.pop()) {
      this.#tidy(parent, node);
      node = parent;
    }
  }

  /** Removes a node that is not needed. Else its text is that of a watcher that is left. */
  #tidy(parent: Node<Watcher>, node: Node<Watcher>): void {
    const code = node.text.charCodeAt(parent.end);
    const [child] = node.children.values();
    const [text = child?.text] = node.watchers.values();
    if (node.watchers.size === 0 && node.children.size < 2) {
      if (child === undefined) parent.children.delete(code);
      else parent.children.set(code, child);
      this.#nodeCount -= 1;
    } else if (text !== undefined) node.text = text;
  }

  /** Yields the watchers that an event at these places concerns. A watcher may occur twice. */
  *concernedBy({ names, fromNames, affectsSubtree }: FeedPlaces): Generator<Watcher, void, void> {
    // An event without a path is that of an unfinished tree, which only a watch of the root has.
    yield* this.#alongPath(watchedPathOf(names ?? []), affectsSubtree && names !== null);
    if (fromNames !== null) yield* this.#alongPath(watchedPathOf(fromNames), affectsSubtree);
  }

  /** Yields all watchers. */
  *all(): Generator<Watcher, void, void> {
    yield* subtree(this.#root);
  }

  *#alongPath(path: WatchedPath, affectsSubtree: boolean): Generator<Watcher, void, void> {
    let node = this.#root;
    while (node.end < path.length) {
      yield* node.watchers.keys();
      const child = node.children.get(path.charCodeAt(node.end));
      if (child === undefined) return;
      const end = commonEnd(child, node.end, path);
      if (end < child.end) {
        if (affectsSubtree && end === path.length) yield* subtree(child);
        return;
      }
      node = child;
    }
    if (affectsSubtree) yield* subtree(node);
    else yield* node.watchers.keys();
  }
}

function nodeAt<Watcher>(text: WatchedPath, end: number): Node<Watcher> {
  return { text, end, children: new Map(), watchers: new Map() };
}

/** Returns the length of what the paths of `node` and `path` have in common. They are equal up to `start`. */
function commonEnd<Watcher>(
  { text, end }: Node<Watcher>,
  start: number,
  path: WatchedPath,
): number {
  const endMax = Math.min(end, path.length);
  let at = start;
  while (at < endMax && text.charCodeAt(at) === path.charCodeAt(at)) at += 1;
  return at;
}

function* subtree<Watcher>(top: Node<Watcher>): Generator<Watcher, void, void> {
  const nodes = [top];
  for (let node = nodes.pop(); node !== undefined; node = nodes.pop()) {
    yield* node.watchers.keys();
    nodes.push(...node.children.values());
  }
}
