import type { FeedPlaces } from "../namespace/feed-query.ts";
import type { ByteText } from "../namespace/keys.ts";

interface Node<Watcher> {
  readonly children: Map<ByteText, Node<Watcher>>;
  readonly watchers: Set<Watcher>;
}

/**
 * Watchers by the path that they watch: a trie of names. Finds the watchers that an event concerns in
 * a time that depends on the depth of its path, and not on the number of the other watchers.
 */
export class WatchIndex<Watcher> {
  readonly #root: Node<Watcher> = emptyNode();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** Adds a watcher of the path with these names, from the root down. */
  add(within: readonly ByteText[], watcher: Watcher): void {
    let node = this.#root;
    for (const name of within) {
      let child = node.children.get(name);
      if (child === undefined) {
        child = emptyNode();
        node.children.set(name, child);
      }
      node = child;
    }
    if (node.watchers.has(watcher)) return;
    node.watchers.add(watcher);
    this.#size += 1;
  }

  /** Removes a watcher. Does nothing if it was not added. */
  delete(within: readonly ByteText[], watcher: Watcher): void {
    const path = [this.#root];
    for (const name of within) {
      const child = path.at(-1)?.children.get(name);
      if (child === undefined) return;
      path.push(child);
    }
    if (path.at(-1)?.watchers.delete(watcher) !== true) return;
    this.#size -= 1;
    for (let depth = within.length; depth > 0; depth -= 1) {
      const node = path[depth] as Node<Watcher>;
      if (node.watchers.size > 0 || node.children.size > 0) return;
      path[depth - 1]?.children.delete(within[depth - 1] as ByteText);
    }
  }

  /** Yields the watchers that an event at these places concerns. A watcher may occur twice. */
  *concernedBy({ names, fromNames, affectsSubtree }: FeedPlaces): Generator<Watcher, void, void> {
    // An event without a path is that of an unfinished tree, which only a watch of the root has.
    yield* this.#alongPath(names ?? [], affectsSubtree && names !== null);
    if (fromNames !== null) yield* this.#alongPath(fromNames, affectsSubtree);
  }

  /** Yields all watchers. */
  *all(): Generator<Watcher, void, void> {
    yield* subtree(this.#root);
  }

  *#alongPath(names: readonly ByteText[], affectsSubtree: boolean): Generator<Watcher, void, void> {
    let node = this.#root;
    if (affectsSubtree && names.length === 0) yield* subtree(node);
    else yield* node.watchers;
    for (const [depth, name] of names.entries()) {
      const child = node.children.get(name);
      if (child === undefined) return;
      node = child;
      if (affectsSubtree && depth === names.length - 1) yield* subtree(node);
      else yield* node.watchers;
    }
  }
}

function emptyNode<Watcher>(): Node<Watcher> {
  return { children: new Map(), watchers: new Set() };
}

function* subtree<Watcher>(top: Node<Watcher>): Generator<Watcher, void, void> {
  const nodes = [top];
  for (let node = nodes.pop(); node !== undefined; node = nodes.pop()) {
    yield* node.watchers;
    nodes.push(...node.children.values());
  }
}
