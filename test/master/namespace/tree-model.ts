import type { NamespaceOperation, VerifiedChunk } from "../../../master/namespace/command.ts";
import type { Namespace } from "../../../master/namespace/namespace.ts";
import type { ListingPage } from "../../../master/namespace/views.ts";
import type { InodeId, LogIndex } from "../../../shared/base/ids.ts";
import type { Target } from "../../../shared/protocol/namespace-api.ts";

/**
 * A node of a simple in-memory tree, the model that the state machine must agree with. A content is
 * one line of text: the bytes of an inline file, or the ids of the chunks.
 */
export type ModelNode =
  | { readonly kind: "directory"; readonly children: Map<string, ModelNode> }
  | { readonly kind: "file"; content: string; chunkMib: number };

type Operation<Kind extends NamespaceOperation["kind"]> = Extract<
  NamespaceOperation,
  { kind: Kind }
>;

/** The refusal of an operation by the model. */
class ModelRefusal extends Error {
  readonly code: string;
  constructor(code: string) {
    super(code);
    this.code = code;
  }
}

const names = (target: Target): string[] =>
  new TextDecoder().decode(target.path).split("/").filter(Boolean);
const emptyDirectory = (): ModelNode & { kind: "directory" } => ({
  kind: "directory",
  children: new Map(),
});

/** The model of the tree. It applies the operations of the namespace to `ModelNode`s. */
export class TreeModel {
  #root = emptyDirectory();
  /** The chunks of the unfinished uploads of the session, by id. */
  #staged = new Map<string, readonly string[]>();
  /** The ids of the unfinished trees of the session. */
  #trees = new Set<string>();
  /** The tree as of each readable index. */
  readonly #past = new Map<LogIndex, ModelNode>();

  /** Applies all operations or none. @returns the code of the first refusal, or "ok" */
  transact(operations: readonly NamespaceOperation[]): string {
    const before = clone(this.#root);
    const stagedBefore = new Map(this.#staged);
    const treesBefore = new Set(this.#trees);
    try {
      for (const operation of operations) this.#apply(operation);
      return "ok";
    } catch (error) {
      if (!(error instanceof ModelRefusal)) throw error;
      this.#root = before;
      this.#staged = stagedBefore;
      this.#trees = treesBefore;
      return error.code;
    }
  }

  /** Removes the unfinished uploads. */
  closeSession(): void {
    this.#staged.clear();
    this.#trees.clear();
  }

  /** Saves the current tree as the state after `index`. Drops the states before `oldest`. */
  saveState(index: LogIndex, oldest: LogIndex): void {
    this.#past.set(index, clone(this.#root));
    for (const past of this.#past.keys()) if (past < oldest) this.#past.delete(past);
  }

  /** Returns every path with a description of its node. */
  paths(): Map<string, string> {
    const paths = new Map<string, string>();
    collect(this.#root, "", paths);
    return paths;
  }

  #apply(operation: NamespaceOperation): void {
    switch (operation.kind) {
      case "make-directory":
        this.#makeDirectory(operation);
        break;
      case "create":
        this.#create(operation.target);
        break;
      case "put":
        this.#put(operation.target, {
          content: contentOf(operation),
          chunkMib: operation.content.kind === "inline" ? 64 : 1,
          replace: operation.replace,
        });
        break;
      case "commit-chunks":
        this.#commit(operation);
        break;
      case "rename":
        this.#rename(operation);
        break;
      case "copy":
        this.#copy(operation);
        break;
      case "unlink":
      case "remove-directory":
      case "remove-tree":
        this.#remove(operation);
        break;
      case "restore":
        this.#restore(operation);
        break;
      case "stage":
        this.#stage(operation);
        break;
      case "stage-directory":
        this.#stageDirectory(operation);
        break;
      case "unstage":
        this.#staged.delete(operation.id);
        this.#trees.delete(operation.id);
        break;
      default:
        this.#find(operation.target);
    }
  }

  #makeDirectory({ target, parents }: Operation<"make-directory">): void {
    if (!parents) {
      const { parent, name } = this.#parentOf(target);
      if (name === "" || parent.children.has(name)) throw new ModelRefusal("ALREADY_EXISTS");
      parent.children.set(name, emptyDirectory());
      return;
    }
    let node: ModelNode = this.#root;
    for (const name of names(target)) {
      if (node.kind === "file") throw new ModelRefusal("NOT_A_DIRECTORY");
      const child: ModelNode = node.children.get(name) ?? emptyDirectory();
      node.children.set(name, child);
      node = child;
    }
    if (node.kind === "file") throw new ModelRefusal("ALREADY_EXISTS");
  }

  #create(target: Target): void {
    const { parent, name } = this.#parentOf(target);
    if (name === "" || parent.children.has(name)) throw new ModelRefusal("ALREADY_EXISTS");
    parent.children.set(name, { kind: "file", content: "text:", chunkMib: 64 });
  }

  #put(target: Target, options: { content: string; chunkMib: number; replace: boolean }): void {
    const { content, chunkMib, replace } = options;
    const { parent, name } = this.#parentOf(target);
    const existing = name === "" ? this.#root : parent.children.get(name);
    if (existing?.kind === "directory") throw new ModelRefusal("IS_A_DIRECTORY");
    if (existing !== undefined && !replace) throw new ModelRefusal("ALREADY_EXISTS");
    if (existing === undefined) parent.children.set(name, { kind: "file", content, chunkMib });
    else Object.assign(existing, { content, chunkMib });
  }

  #commit(operation: Operation<"commit-chunks">): void {
    const file = this.#find(operation.target);
    if (file.kind === "directory") throw new ModelRefusal("IS_A_DIRECTORY");
    const size = sizeOf(file.content);
    if (size !== operation.sizeBytesExpected) throw new ModelRefusal("PRECONDITION_FAILED");
    const chunks = file.content.startsWith("chunks:") ? file.content.slice(7).split(",") : [];
    for (const { position, expected } of operation.changes) {
      if ((chunks[position] ?? null) !== expected) throw new ModelRefusal("PRECONDITION_FAILED");
    }
    for (const { position, chunk } of operation.changes) chunks[position] = chunk.id;
    const sizeMib = operation.sizeBytes / (1024 * 1024);
    const count = Math.ceil(sizeMib / file.chunkMib);
    const isOutside = operation.changes.some(({ position }) => position >= count);
    // Every chunk of the tests has 1 MiB. With a larger chunk size, only a file of 1 MiB is valid.
    if (isOutside || (sizeMib > 1 && file.chunkMib > 1)) throw new ModelRefusal("INVALID_ARGUMENT");
    const kept = chunks.slice(0, count);
    if (kept.length < count || kept.includes(undefined as never))
      throw new ModelRefusal("INVALID_ARGUMENT");
    file.content = count === 0 ? "text:" : `chunks:${kept.join(",")}`;
  }

  #stage({ id, position, chunks }: Operation<"stage">): void {
    const before = this.#staged.get(id) ?? [];
    const ids = chunks.map((chunk) => chunk.id);
    const isSame = before.slice(position).every((chunk, index) => (ids[index] ?? chunk) === chunk);
    if (position > before.length || !isSame) throw new ModelRefusal("PRECONDITION_FAILED");
    this.#staged.set(id, [...before, ...ids.slice(before.length - position)]);
  }

  #stageDirectory({ id, from, index }: Operation<"stage-directory">): void {
    const past = this.#past.get(index);
    if (past === undefined) throw new ModelRefusal("INDEX_EXPIRED");
    if (findIn(past, from).kind === "file") throw new ModelRefusal("NOT_A_DIRECTORY");
    if (this.#trees.has(id)) throw new ModelRefusal("ALREADY_EXISTS");
    this.#trees.add(id);
  }

  #rename({ from, to, noReplace }: Operation<"rename">): void {
    const node = this.#find(from);
    if (node === this.#root) throw new ModelRefusal("INVALID_ARGUMENT");
    const target = this.#parentOf(to);
    const existing = target.name === "" ? this.#root : target.parent.children.get(target.name);
    if (noReplace && existing !== undefined) throw new ModelRefusal("ALREADY_EXISTS");
    if (existing === node) return;
    if (contains(node, target.parent) && target.name !== "")
      throw new ModelRefusal("INVALID_ARGUMENT");
    if (existing !== undefined) checkReplace(node, existing);
    const source = this.#parentOf(from);
    source.parent.children.delete(source.name);
    target.parent.children.set(target.name, node);
  }

  #copy({ from, to, replace }: Operation<"copy">): void {
    const node = this.#find(from);
    if (node.kind === "directory") throw new ModelRefusal("IS_A_DIRECTORY");
    const { parent, name } = this.#parentOf(to);
    const existing = name === "" ? this.#root : parent.children.get(name);
    if (existing === node) return;
    if (existing?.kind === "directory") throw new ModelRefusal("IS_A_DIRECTORY");
    if (existing !== undefined && !replace) throw new ModelRefusal("ALREADY_EXISTS");
    const { content, chunkMib } = node;
    parent.children.set(name, { kind: "file", content, chunkMib });
  }

  /** Restores from a tree that `saveState` has saved. */
  #restore({ from, to, index, replace }: Operation<"restore">): void {
    const past = this.#past.get(index);
    if (past === undefined) throw new ModelRefusal("INDEX_EXPIRED");
    const node = findIn(past, from);
    const { parent, name } = this.#parentOf(to);
    const existing = name === "" ? this.#root : parent.children.get(name);
    if (node.kind === "directory") {
      if (existing !== undefined) throw new ModelRefusal("ALREADY_EXISTS");
      parent.children.set(name, emptyDirectory());
      return;
    }
    if (existing?.kind === "directory") throw new ModelRefusal("IS_A_DIRECTORY");
    if (existing !== undefined && !replace) throw new ModelRefusal("ALREADY_EXISTS");
    const { content, chunkMib } = node;
    if (existing === undefined) parent.children.set(name, { kind: "file", content, chunkMib });
    else Object.assign(existing, { content, chunkMib });
  }

  #remove({
    kind,
    target,
  }: {
    kind: "unlink" | "remove-directory" | "remove-tree";
    target: Target;
  }): void {
    const node = this.#find(target);
    if (kind === "unlink" && node.kind === "directory") throw new ModelRefusal("IS_A_DIRECTORY");
    if (kind === "remove-directory" && node.kind === "file")
      throw new ModelRefusal("NOT_A_DIRECTORY");
    if (node === this.#root) throw new ModelRefusal("INVALID_ARGUMENT");
    if (kind === "remove-directory" && node.kind === "directory" && node.children.size > 0) {
      throw new ModelRefusal("NOT_EMPTY");
    }
    const { parent, name } = this.#parentOf(target);
    parent.children.delete(name);
  }

  #find(target: Target): ModelNode {
    return findIn(this.#root, target);
  }

  /** Returns the directory and the last name of a path. The root has the name "". */
  #parentOf(target: Target): { parent: ModelNode & { kind: "directory" }; name: string } {
    const path = names(target);
    const name = path.pop() ?? "";
    const parent = this.#find({ path: new TextEncoder().encode(`/${path.join("/")}`) });
    if (parent.kind === "file") throw new ModelRefusal("NOT_A_DIRECTORY");
    return { parent, name };
  }
}

function findIn(root: ModelNode, target: Target): ModelNode {
  let node = root;
  for (const name of names(target)) {
    if (node.kind === "file") throw new ModelRefusal("NOT_A_DIRECTORY");
    const child = node.children.get(name);
    if (child === undefined) throw new ModelRefusal("NOT_FOUND");
    node = child;
  }
  return node;
}

function checkReplace(node: ModelNode, existing: ModelNode): void {
  if (node.kind === "directory" && existing.kind === "file")
    throw new ModelRefusal("NOT_A_DIRECTORY");
  if (node.kind === "file" && existing.kind === "directory")
    throw new ModelRefusal("IS_A_DIRECTORY");
  if (existing.kind === "directory" && existing.children.size > 0)
    throw new ModelRefusal("NOT_EMPTY");
}

function contains(outer: ModelNode, inner: ModelNode): boolean {
  if (outer === inner) return true;
  if (outer.kind === "file") return false;
  return [...outer.children.values()].some((child) => contains(child, inner));
}

function clone(node: ModelNode & { kind: "directory" }): ModelNode & { kind: "directory" } {
  const copy = emptyDirectory();
  for (const [name, child] of node.children) {
    copy.children.set(name, child.kind === "file" ? { ...child } : clone(child));
  }
  return copy;
}

function collect(node: ModelNode, path: string, paths: Map<string, string>): void {
  if (node.kind === "file") {
    paths.set(path, node.content);
    return;
  }
  paths.set(path === "" ? "/" : path, `directory of ${node.children.size}`);
  for (const [name, child] of node.children) collect(child, `${path}/${name}`, paths);
}

function contentOf({ content }: Operation<"put">): string {
  if (content.kind === "inline") return `text:${new TextDecoder().decode(content.bytes)}`;
  return content.chunks.length === 0 ? "text:" : chunksLine(content.chunks);
}

const chunksLine = (chunks: readonly Pick<VerifiedChunk, "id">[]): string =>
  `chunks:${chunks.map((chunk) => chunk.id).join(",")}`;

/** Returns the size of a content: every chunk of the tests has 1 MiB. */
const sizeOf = (content: string): number =>
  content.startsWith("text:") ? content.length - 5 : content.split(",").length * 1024 * 1024;

/**
 * Returns the same map as `TreeModel.paths` from queries of the state machine, in pages of `limit`.
 *
 * @param options.at index to read. The entry count of a directory has no history, so the count
 *   comes from the listing.
 */
export function pathsOf(
  namespace: Namespace,
  options: { at?: LogIndex; limit?: number } = {},
): Map<string, string> {
  const paths = new Map<string, string>();
  readDirectory(namespace, { inode: 1 as InodeId, path: "" }, { paths, ...options });
  return paths;
}

function readDirectory(
  namespace: Namespace,
  directory: { inode: InodeId; path: string },
  options: { at?: LogIndex; limit?: number; paths: Map<string, string> },
): void {
  const { at, limit = 2, paths } = options;
  const target: Target = { inode: directory.inode };
  const entries: ListingPage["entries"][number][] = [];
  for (;;) {
    const after = entries.at(-1)?.name;
    const page = namespace.list(target, { after, limit }, at);
    entries.push(...page.entries);
    if (page.isLast) break;
  }
  paths.set(directory.path === "" ? "/" : directory.path, `directory of ${entries.length}`);
  for (const { name, attributes } of entries) {
    const path = `${directory.path}/${new TextDecoder().decode(name)}`;
    const { inode } = attributes;
    if (attributes.kind === "directory") readDirectory(namespace, { inode, path }, options);
    else paths.set(path, readContent(namespace, inode, at));
  }
}

function readContent(namespace: Namespace, inode: InodeId, at: LogIndex | undefined): string {
  const part = namespace.locate({ inode }, { firstPosition: 0, count: 100 }, at);
  if (part.inlineBytes !== null) return `text:${new TextDecoder().decode(part.inlineBytes)}`;
  return chunksLine(part.chunks);
}
