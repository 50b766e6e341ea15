import fc from "fast-check";
import type { NamespaceOperation, VerifiedChunk } from "../../../master/namespace/command.ts";
import type { ChunkId, LogIndex } from "../../../shared/base/ids.ts";
import type { Target } from "../../../shared/protocol/namespace-api.ts";
import { at, chunkId, chunksContent, inline, MIB, OWNER, sealed, stagingId } from "./harness.ts";

/** Few names and few chunks, so that operations conflict. */
const path: fc.Arbitrary<Target> = fc
  .array(fc.constantFrom("a", "b", "c\u00e9"), { minLength: 0, maxLength: 3 })
  .map((names) => at(`/${names.join("/")}`));
const chunkNames = fc.array(fc.constantFrom("p", "q", "r", "s"), { maxLength: 3 });
const bit = fc.boolean();

/** Returns a sealed chunk whose intent is the newest possible, so that it has not expired. */
type Seal = (name: string) => VerifiedChunk;

/** Returns an operation whose chunks are written under the given intent. */
export type PlannedOperation = (intentIndex: number) => NamespaceOperation;

const sealAt =
  (intentIndex: number): Seal =>
  (name) =>
    sealed(name, { intentIndex, servers: ["s1", "s2", name] });

const directories: fc.Arbitrary<PlannedOperation> = fc.oneof(
  fc
    .record({ target: path, parents: bit })
    .map((fields) => () => ({ kind: "make-directory", ...fields, ...OWNER }) as const),
  path.map((target) => () => ({ kind: "remove-directory", target }) as const),
  path.map((target) => () => ({ kind: "remove-tree", target }) as const),
);

const files: fc.Arbitrary<PlannedOperation> = fc.oneof(
  path.map((target) => () => ({ kind: "create", target, ...OWNER }) as const),
  fc
    .record({ target: path, replace: bit, text: fc.constantFrom("x", "some text") })
    .map(({ target, replace, text }) => () => {
      return { kind: "put", target, replace, content: inline(text), ...OWNER } as const;
    }),
  fc
    .record({ target: path, replace: bit, chunks: chunkNames })
    .map(({ target, replace, chunks }) => (intentIndex: number) => {
      const content = chunksContent(...chunks.map(sealAt(intentIndex)));
      return { kind: "put", target, replace, content, ...OWNER } as const;
    }),
  path.map((target) => () => ({ kind: "unlink", target }) as const),
  path.map(
    (target) => () => ({ kind: "set-attributes", target, mode: 0o600, mtimeMs: 1 }) as const,
  ),
);

const moves: fc.Arbitrary<PlannedOperation> = fc.oneof(
  fc
    .record({ from: path, to: path, noReplace: bit })
    .map((fields) => () => ({ kind: "rename", ...fields }) as const),
  fc
    .record({ from: path, to: path, replace: bit, preserve: bit })
    .map((fields) => () => ({ kind: "copy", ...fields, uid: 1, gid: 1 }) as const),
);

/** Restores of a state that is up to 12 entries old. Such a state is usually readable. */
const restores: fc.Arbitrary<PlannedOperation> = fc
  .record({ from: path, to: path, replace: bit, entriesBack: fc.nat({ max: 12 }) })
  .map(({ entriesBack, ...fields }) => (newest: number) => {
    const index = Math.max(2, newest - entriesBack) as LogIndex;
    return { kind: "restore", index, ...fields } as const;
  });

/** Commits with few possible expectations, so that some of them are correct. */
const commits: fc.Arbitrary<PlannedOperation> = fc
  .record({
    target: path,
    countExpected: fc.integer({ min: 0, max: 2 }),
    count: fc.integer({ min: 0, max: 3 }),
    expected: fc.constantFrom("p", "q", null),
    changes: fc.uniqueArray(
      fc.record({
        position: fc.integer({ min: 0, max: 2 }),
        chunk: fc.constantFrom("p", "q", "t"),
      }),
      { selector: ({ position }) => position, maxLength: 3 },
    ),
  })
  .map(({ target, countExpected, count, expected, changes }) => (intentIndex: number) => {
    const inside = changes.filter(({ position }) => position < count);
    return {
      kind: "commit-chunks",
      target,
      sizeBytesExpected: countExpected * MIB,
      sizeBytes: count * MIB,
      changes: inside.map(({ position, chunk }) => ({
        position,
        expected: position < countExpected ? expectedId(expected) : null,
        chunk: sealAt(intentIndex)(chunk),
      })),
    } as const;
  });

/** Uploads with few ids, chunks and positions, so that some of them are repeated or continued. */
const uploads: fc.Arbitrary<PlannedOperation> = fc.oneof(
  fc
    .record({
      id: fc.constantFrom(stagingId("u"), stagingId("v")),
      target: path,
      position: fc.nat({ max: 3 }),
      chunks: fc.array(fc.constantFrom("p", "q", "r", "s"), { minLength: 1, maxLength: 3 }),
    })
    .map(({ chunks, ...fields }) => (intentIndex: number) => {
      return { kind: "stage", ...fields, chunks: chunks.map(sealAt(intentIndex)) } as const;
    }),
  fc
    .constantFrom(stagingId("u"), stagingId("v"))
    .map((id) => () => ({ kind: "unstage", id }) as const),
);

/** Unfinished trees, usually with the attributes of the root. */
const trees: fc.Arbitrary<PlannedOperation> = fc
  .record({
    id: fc.constantFrom(stagingId("u"), stagingId("v"), stagingId("w")),
    from: fc.oneof({ weight: 3, arbitrary: fc.constant(at("/")) }, { weight: 1, arbitrary: path }),
    entriesBack: fc.nat({ max: 3 }),
  })
  .map(({ entriesBack, ...fields }) => (newest: number) => {
    const index = Math.max(2, newest - entriesBack) as LogIndex;
    return { kind: "stage-directory", index, ...fields } as const;
  });

const expectedId = (name: string | null): ChunkId | null => (name === null ? null : chunkId(name));

const operation = fc.oneof(
  { weight: 3, arbitrary: directories },
  { weight: 4, arbitrary: files },
  { weight: 3, arbitrary: moves },
  { weight: 2, arbitrary: commits },
  { weight: 2, arbitrary: restores },
  { weight: 2, arbitrary: uploads },
  { weight: 1, arbitrary: trees },
);

/** One step of a random test. */
export type Step =
  | { readonly kind: "transact"; readonly operations: readonly PlannedOperation[] }
  | { readonly kind: "flush" }
  | { readonly kind: "restart" }
  /** The client closes its session and opens another one. */
  | { readonly kind: "reopen-session" }
  /**
   * A negative time simulates a new leader with a slow clock, or a clock that is set back (G14).
   */
  | { readonly kind: "pass-time"; readonly ms: number }
  | { readonly kind: "reclaim"; readonly recordsMax: number; readonly versionsMax?: number };

export const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 12,
    arbitrary: fc
      .array(operation, { minLength: 1, maxLength: 4 })
      .map((operations) => ({ kind: "transact", operations }) as const),
  },
  { weight: 2, arbitrary: fc.constant({ kind: "flush" } as const) },
  { weight: 1, arbitrary: fc.constant({ kind: "restart" } as const) },
  { weight: 1, arbitrary: fc.constant({ kind: "reopen-session" } as const) },
  {
    weight: 1,
    arbitrary: fc
      .integer({ min: -86_400_000, max: 86_400_000 })
      .map((ms) => ({ kind: "pass-time", ms }) as const),
  },
  {
    weight: 2,
    arbitrary: fc
      .record(
        { recordsMax: fc.integer({ min: 1, max: 30 }), versionsMax: fc.nat({ max: 10 }) },
        { requiredKeys: ["recordsMax"] },
      )
      .map((bounds) => ({ kind: "reclaim", ...bounds }) as const),
  },
);
