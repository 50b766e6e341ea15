import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { NamespaceOperation } from "../../../master/namespace/command.ts";
import { DEPTH_MAX } from "../../../shared/base/path.ts";
import { boundedMachine, create, makeDirectory, put } from "./bounded-machine.ts";
import { at, codeOf, inline, OWNER, type TestStateMachine } from "./harness.ts";

describe("the depth of a name", () => {
  const deepest = "/a".repeat(DEPTH_MAX);

  it("has a bound in every operation that makes a name", async () => {
    const machine = await boundedMachine();
    machine.run(makeDirectory(deepest, true));
    machine.run(create("/d/f"));
    const { inode } = machine.namespace.stat(at(deepest));
    const below = at(`${deepest}/b`);
    const index = machine.index;
    const owned = { uid: 0, gid: 0, preserve: false, replace: false };
    const makeNames: readonly NamespaceOperation[] = [
      { kind: "create", target: below, ...OWNER },
      { kind: "create", target: { inode, ...at("/b") }, ...OWNER },
      { kind: "make-directory", target: below, parents: false, ...OWNER },
      { kind: "make-directory", target: below, parents: true, ...OWNER },
      { kind: "make-directory", target: { inode, ...at("/b/c") }, parents: true, ...OWNER },
      { ...put("/x", []), target: below } as NamespaceOperation,
      { kind: "copy", from: at("/d/f"), to: below, ...owned },
      { kind: "rename", from: at("/d/f"), to: below, noReplace: false },
      { kind: "restore", from: at("/d/f"), index, to: below, replace: false },
      { kind: "restore", from: at("/d"), index, to: below, replace: false },
    ];
    for (const operation of makeNames) {
      const outcome = machine.transact([operation]);
      assert.equal(codeOf(outcome), "NAME_TOO_LONG", operation.kind);
      assert.ok(!outcome.ok && outcome.details["max"] === DEPTH_MAX);
    }
  });

  /** Moves a deep tree to the end of another one. @returns the path of its last directory */
  function makeDeeper(machine: TestStateMachine): string {
    const half = DEPTH_MAX - 1;
    const [top, moved] = ["/x".repeat(half), "/y".repeat(half)];
    machine.run(makeDirectory(top, true));
    machine.run(makeDirectory(moved, true), create(`${moved}/f`));
    machine.run({ kind: "rename", from: at("/y"), to: at(`${top}/y`), noReplace: false });
    return `${top}${moved}`;
  }

  it("is no obstacle to an operation on a name that exists", async () => {
    const machine = await boundedMachine();
    const deep = makeDeeper(machine);
    machine.run(makeDirectory(deep, true));
    machine.run({ ...put(`${deep}/f`, []), content: inline("x") } as NamespaceOperation);
    machine.run(create("/d/f"));
    machine.run({ kind: "rename", from: at("/d/f"), to: at(`${deep}/f`), noReplace: false });
    const { inode } = machine.namespace.stat(at(deep));
    machine.run({ kind: "make-directory", target: { inode }, parents: true, ...OWNER });
    const made = machine.transact([makeDirectory(`${deep}/new/b`, true)]);
    assert.equal(codeOf(made), "NAME_TOO_LONG");
    const depth = 2 * DEPTH_MAX;
    assert.ok(!made.ok && made.details["depth"] === depth, "it is the depth of the whole path");
  });

  it("may exceed the bound below a directory that is moved: the tree stays usable and removable", async () => {
    const machine = await boundedMachine();
    const { inode } = machine.namespace.stat(at(makeDeeper(machine)));
    machine.run({ kind: "set-attributes", target: { inode }, mode: 0o700 });
    assert.equal(machine.namespace.list({ inode }, { limit: 10 }).entries.length, 1);
    machine.run({ kind: "rename", from: { inode }, to: at("/d/from-below"), noReplace: false });
    machine.run({ kind: "remove-tree", target: at("/x") });
    assert.equal(codeOf(machine.transact([create("/x")])), "ok");
  });
});
