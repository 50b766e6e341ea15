import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { decodeCommand, encodeCommand } from "../../../master/namespace/command-encoding.ts";
import { decodeAttributes, encodeAttributes } from "../../../shared/protocol/attributes.ts";
import { at, OWNER, TestStateMachine } from "./harness.ts";

/** Masters of version 0.1 accepted any finite time. Their logs and states have such times. */
describe("a time that no Date holds", () => {
  it("in an entry of an older version is applied as before, and is shown as the nearest one", async () => {
    const machine = await TestStateMachine.make();
    machine.run({ kind: "create", target: at("/f"), ...OWNER });
    for (const [stored, shown] of [
      [-1e20, -8.64e15],
      [1e300, 8.64e15],
    ] as const) {
      machine.run({
        kind: "set-attributes",
        target: at("/f"),
        mtimeMs: stored,
        atimeMs: stored,
      });
      const attributes = machine.namespace.stat(at("/f"), machine.index);
      assert.equal(attributes.mtimeMs, stored, "the state is that of the older version");
      const read = decodeAttributes(encodeAttributes(attributes));
      assert.deepEqual([read.mtimeMs, read.atimeMs], [shown, shown]);
    }
  });

  it("is decoded from the log", () => {
    const operation = { kind: "set-attributes", target: at("/f"), mtimeMs: -1e20 } as const;
    const attempt = { sessionId: 1, sequence: 1, firstUnacknowledged: 1 };
    const command = {
      kind: "transact",
      nowMs: 1,
      attempt,
      preconditions: [],
      operations: [operation],
    };
    const decoded = decodeCommand(encodeCommand(command as never)) as unknown as typeof command;
    assert.equal(decoded.operations[0]?.mtimeMs, -1e20);
  });
});
