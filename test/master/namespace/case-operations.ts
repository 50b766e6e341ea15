import type { NamespaceOperation } from "../../../master/namespace/command.ts";
import type { LogIndex } from "../../../shared/base/ids.ts";
import {
  at,
  chunkId,
  chunksContent,
  inline,
  OWNER,
  sealed,
  type TestStateMachine,
} from "./harness.ts";

/** Returns a `put` of one byte, or with other fields. */
export const put = (
  path: string,
  options: Partial<Extract<NamespaceOperation, { kind: "put" }>> = {},
) =>
  ({
    kind: "put",
    target: at(path),
    replace: true,
    content: inline("x"),
    ...OWNER,
    ...options,
  }) as const satisfies NamespaceOperation;
/** Returns a `make-directory`. */
export const make = (path: string, parents = false): NamespaceOperation => ({
  kind: "make-directory",
  target: at(path),
  parents,
  ...OWNER,
});
/** Returns a `create`. */
export const create = (path: string) => ({ kind: "create", target: at(path), ...OWNER }) as const;
/** Returns an operation or a precondition of one path. */
export const on = <Kind extends string>(kind: Kind, path: string) =>
  ({ kind, target: at(path) }) as const;
/** Returns a `rename`. */
export const rename = (from: string, to: string, noReplace = false) =>
  ({ kind: "rename", from: at(from), to: at(to), noReplace }) as const;
/** Returns a `copy`. */
export const copy = (from: string, to: string, replace = false) =>
  ({ kind: "copy", from: at(from), to: at(to), replace, preserve: false, uid: 1, gid: 1 }) as const;
/** Returns a `restore` of the state at an index. */
export const restore = (from: string, to: string, index: number) =>
  ({
    kind: "restore",
    from: at(from),
    to: at(to),
    replace: false,
    index: index as LogIndex,
  }) as const;
/** Returns a `commit-chunks` of at most one chunk, "q", in place of the chunk `of`. */
export const commit = (
  path: string,
  fields: { size: number; expected: number; position?: number; of?: string | null },
) =>
  ({
    kind: "commit-chunks",
    target: at(path),
    sizeBytesExpected: fields.expected,
    sizeBytes: fields.size,
    changes:
      fields.position === undefined
        ? []
        : [
            {
              position: fields.position,
              expected: fields.of === undefined || fields.of === null ? null : chunkId(fields.of),
              chunk: sealed("q", { intentIndex: 100 }),
            },
          ],
  }) as const;

/** An index of the history after `makeCaseTree`. */
export const PAST = 9;

/**
 * Makes the tree of the cases: the file /f of one byte, the file /c of the chunk "p", the
 * directory /d with the file /d/f, and the directory /e with two files. The history begins
 * at index 6, and the intent floor is 7.
 */
export function makeCaseTree(machine: TestStateMachine): void {
  for (let step = 0; step < 4; step += 1) machine.run(make("/old"), on("remove-directory", "/old"));
  machine.run(make("/d"), make("/e"));
  machine.apply({ kind: "reclaim", nowMs: machine.nowMs, recordsMax: 1_000, versionsMax: 0 });
  machine.run(put("/f"), put("/d/f"), put("/e/1"), put("/e/2"));
  machine.run(put("/c", { content: chunksContent(sealed("p", { intentIndex: 100 })) }));
  machine.apply({ kind: "raise-intent-floor", floor: 7 as LogIndex });
}
