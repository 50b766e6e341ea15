import assert from "node:assert/strict";
import type { Namespace } from "../../../master/namespace/namespace.ts";
import { STAGED_ROOT } from "../../../master/namespace/staged-totals.ts";
import { watchedPath } from "../../../master/namespace/watched-path.ts";
import { toHex } from "../../../shared/base/bytes.ts";
import type { InodeId, LogIndex } from "../../../shared/base/ids.ts";
import { parsePath } from "../../../shared/base/path.ts";
import type { FeedEvent, FeedPosition } from "../../../shared/protocol/feed-api.ts";

interface Node {
  readonly inode: InodeId;
  readonly kind: "file" | "directory";
  parent: InodeId | null;
  name: string;
  mode: number;
  owner: string;
  mtimeMs: number;
  storageClass: string;
  content: string;
}

/** The path of everything in an unfinished tree, whose events have no path. */
const UNFINISHED = "";

const text = (bytes: Uint8Array | null): string => new TextDecoder().decode(bytes ?? undefined);

/** A tree built from feed events alone. Checks the location and the paths of each event. */
export class FeedModel {
  readonly #nodes = new Map<InodeId, Node>();

  constructor(root: { readonly mode: number; readonly storageClass: string }) {
    this.#nodes.set(1 as InodeId, {
      ...{ inode: 1 as InodeId, kind: "directory", parent: null, name: "", owner: "0:0" },
      ...{ mtimeMs: 0, content: "", ...root },
    });
  }

  apply(event: FeedEvent): void {
    const { inode, inodeKind: kind, parent } = event;
    const name = text(event.name);
    if (event.kind === "created") {
      assert.ok(!this.#nodes.has(inode), "the id of a new inode is unused");
      const { mode, uid, gid, mtimeMs, storageClass } = event;
      const owned = { mode, owner: `${uid}:${gid}`, mtimeMs, storageClass };
      const node = { inode, kind, parent, name, ...owned, content: contentLine(event) };
      this.#nodes.set(inode, node);
      assert.equal(this.#path(inode), text(event.path));
      return;
    }
    const node = this.#nodes.get(inode);
    assert.ok(node !== undefined && node.kind === kind, `inode ${inode} exists with kind ${kind}`);
    if (event.kind !== "renamed") {
      assert.deepEqual([node.parent, node.name], [parent, name]);
      assert.equal(this.#path(inode), text(event.path));
    }
    this.#change(node, event);
  }

  #change(node: Node, event: Exclude<FeedEvent, { kind: "created" }>): void {
    switch (event.kind) {
      case "content":
        Object.assign(node, { content: contentLine(event), mtimeMs: event.mtimeMs });
        break;
      case "removed": {
        const below = [...this.#nodes.values()].some((each) => each.parent === node.inode);
        assert.equal(event.isTree, below);
        this.#remove(node.inode);
        break;
      }
      case "renamed": {
        const { from } = event;
        assert.deepEqual([node.parent, node.name], [from.parent, text(from.name)]);
        assert.equal(this.#path(node.inode), text(from.path));
        Object.assign(node, { parent: event.parent, name: text(event.name) });
        assert.equal(this.#path(node.inode), text(event.path));
        break;
      }
      case "attributes": {
        const { mode, uid, gid, mtimeMs } = event;
        Object.assign(node, { mode, owner: `${uid}:${gid}`, mtimeMs });
        break;
      }
      case "storage-class":
        node.storageClass = event.storageClass;
    }
  }

  #remove(inode: InodeId): void {
    this.#nodes.delete(inode);
    for (const node of [...this.#nodes.values()]) {
      if (node.parent === inode) this.#remove(node.inode);
    }
  }

  #path(inode: InodeId): string {
    const node = this.#nodes.get(inode);
    assert.ok(node !== undefined, `inode ${inode} is in the tree`);
    if (node.parent === null) return "/";
    if (node.parent === STAGED_ROOT) return UNFINISHED;
    const above = this.#path(node.parent);
    if (above === UNFINISHED) return UNFINISHED;
    return `${above === "/" ? "" : above}/${node.name}`;
  }

  /** Returns a sorted line for every path. */
  lines(): string[] {
    return [...this.#nodes.values()]
      .filter(({ inode }) => this.#path(inode) !== UNFINISHED)
      .map((node) => {
        const times = node.kind === "file" ? node.mtimeMs : "";
        const { mode, owner, storageClass, content } = node;
        return [this.#path(node.inode), node.inode, mode, owner, storageClass, times, content].join(
          " ",
        );
      })
      .sort();
  }
}

function contentLine(event: Extract<FeedEvent, { kind: "created" | "content" }>): string {
  return event.inodeKind === "directory" ? "" : `${event.sizeBytes} ${rootLine(event.contentRoot)}`;
}

const rootLine = (root: Uint8Array | null): string => (root === null ? "none" : toHex(root));

/** Returns the same lines as `FeedModel.lines`, from queries of the state machine. */
export function linesOf(namespace: Namespace, at?: LogIndex): string[] {
  const lines: string[] = [];
  const visit = (inode: InodeId, path: string): void => {
    const attributes = namespace.stat({ inode }, at);
    const { mode, uid, gid, storageClass } = attributes;
    const isFile = attributes.kind === "file";
    const content = isFile ? `${attributes.sizeBytes} ${rootLine(attributes.contentRoot)}` : "";
    const times = isFile ? attributes.mtimeMs : "";
    lines.push([path, inode, mode, `${uid}:${gid}`, storageClass, times, content].join(" "));
    if (isFile) return;
    const { entries } = namespace.list({ inode }, { limit: 10_000 }, at);
    for (const { name, attributes: child } of entries) {
      visit(child.inode, `${path === "/" ? "" : path}/${text(name)}`);
    }
  };
  visit(1 as InodeId, "/");
  return lines.sort();
}

/** Reads all events from a position on, in pages of `rowsMax`. */
export function eventsFrom(
  namespace: Namespace,
  from: FeedPosition,
  options: { readonly path?: string; readonly rowsMax?: number } = {},
): { readonly events: FeedEvent[]; readonly next: FeedPosition } {
  const { path = "/", rowsMax = 3 } = options;
  const within = watchedPath(parsePath(path));
  const events: FeedEvent[] = [];
  let next = from;
  for (;;) {
    const page = namespace.feed({ from: next, within, rowsMax, bytesMax: 1_000 });
    events.push(...page.events);
    next = page.next;
    if (page.isLast) return { events, next };
  }
}

export const position = (index: number, sequence = 0): FeedPosition => ({
  index: index as LogIndex,
  sequence,
});
