import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  FEATURE_LEVEL_FIRST,
  FEATURE_LEVEL_MAX,
  FEATURE_LEVEL_REMOVED,
} from "../../../master/namespace/feature-levels.ts";
import { META_KEY, TABLE_BYTE, textToBytes } from "../../../master/namespace/keys.ts";
import { Namespace } from "../../../master/namespace/namespace.ts";
import { checkFormats, formatsAt } from "../../../master/namespace/row-formats.ts";
import { FORMATS } from "../../../master/namespace/tables.ts";
import { assertOk, hasher, raiseTo, TestStateMachine } from "./harness.ts";

const keyBytes = textToBytes(META_KEY.formats);

/** Returns the formats that a state records after the level was raised. Undefined if it has none. */
async function storedFormats(machine: TestStateMachine, level: number) {
  assertOk(machine.apply(raiseTo(level)));
  await machine.namespace.flush();
  const bytes = machine.store.get(keyBytes);
  return bytes === undefined ? undefined : FORMATS.decode(bytes, META_KEY.formats);
}

describe("the formats of the tables", () => {
  it("rise with feature levels and never change for a level that exists", () => {
    const raised: string[] = [];
    for (let level = FEATURE_LEVEL_FIRST; level <= FEATURE_LEVEL_MAX; level += 1) {
      const before = formatsAt(level - 1);
      for (const [name, format] of formatsAt(level)) {
        if (format === before.get(name)) continue;
        assert.equal(format, (before.get(name) ?? 0) + 1, `${name} at level ${level}`);
        if (level > FEATURE_LEVEL_FIRST) raised.push(`${level} ${name} ${format}`);
      }
    }
    // Members of different versions record the formats of one level: a line may be added, not changed.
    assert.deepEqual(raised, [
      ...["3 meta 2", "3 reclaim 2", "3 staged 1", "3 stagedTotals 1"],
      ...["6 directory 2", "6 entry 2", "8 outcome 2", "9 meta 3", "10 removedServer 1"],
      ...["11 inode 2", "11 staged 2", "12 reclaim 3", "13 meta 4", "14 meta 5", "14 reclaim 4"],
    ]);
    const names = [...formatsAt(FEATURE_LEVEL_MAX).keys()];
    assert.deepEqual(names, Object.keys(TABLE_BYTE).sort());
  });

  it("are recorded in the state from level 14 on", async () => {
    const machine = await TestStateMachine.make();
    assert.equal(await storedFormats(machine, FEATURE_LEVEL_REMOVED - 1), undefined);
    const stored = await storedFormats(machine, FEATURE_LEVEL_REMOVED);
    assert.deepEqual(stored, formatsAt(FEATURE_LEVEL_REMOVED));
    assert.ok(Namespace.open({ store: machine.store, hasher }).appliedIndex > 0);
  });

  it("stop a program that knows only older ones, with the name of the table", async () => {
    const machine = await TestStateMachine.make();
    const stored = await storedFormats(machine, FEATURE_LEVEL_REMOVED);
    assert.ok(stored !== undefined);
    checkFormats(stored, FEATURE_LEVEL_REMOVED);
    const reclaimOnly = new Map([...stored].filter(([name]) => name === "reclaim"));
    assert.throws(() => checkFormats(reclaimOnly, FEATURE_LEVEL_REMOVED - 1), {
      code: "VERSION_MISMATCH",
      message: /format 3 or lower of the table reclaim: current value is 4$/,
    });
    for (const [name, format, message] of [
      ["reclaim", 5, /expected format 4 or lower of the table reclaim: current value is 5$/],
      ["snapshot", 1, /expected format 0 or lower of the table snapshot: current value is 1$/],
    ] as const) {
      const newer = new Map([...stored, [name, format]]);
      await machine.store.commit([
        { key: keyBytes, value: FORMATS.encode(newer, META_KEY.formats) },
      ]);
      const open = () => Namespace.open({ store: machine.store, hasher });
      assert.throws(open, { code: "VERSION_MISMATCH", message });
    }
  });
});
