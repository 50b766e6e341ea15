import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { Inflights } from "../../../master/raft/inflights.ts";
import { index } from "./raft-fixtures.ts";

type Step = { readonly add: number } | { readonly freeBelow: number };

const steps: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ add: fc.integer({ min: 0, max: 50 }) }),
  fc.record({ freeBelow: fc.integer({ min: 0, max: 40 }) }),
);

describe("the window of append requests (thesis §10.2.1)", () => {
  it("is full at its limit of messages or bytes, and not earlier", () => {
    fc.assert(
      fc.property(fc.array(steps), (history) => {
        const inflights = new Inflights({ messagesMax: 4, bytesMax: 100 });
        let model: { lastIndex: number; sizeBytes: number }[] = [];
        let lastIndex = 0;
        for (const step of history) {
          if ("add" in step) {
            if (inflights.isFull) continue;
            lastIndex += 1;
            inflights.add(index(lastIndex), step.add);
            model.push({ lastIndex, sizeBytes: step.add });
          } else {
            inflights.freeTo(index(step.freeBelow));
            model = model.filter((item) => item.lastIndex > step.freeBelow);
          }
          const sizeBytes = model.reduce((sum, item) => sum + item.sizeBytes, 0);
          assert.equal(inflights.count, model.length);
          assert.equal(inflights.isFull, model.length >= 4 || sizeBytes >= 100);
        }
      }),
    );
  });

  it("accepts the message that reaches the limit of bytes", () => {
    const inflights = new Inflights({ messagesMax: 4, bytesMax: 100 });
    inflights.add(index(1), 99);
    inflights.add(index(2), 1_000);
    assert.ok(inflights.isFull);
    inflights.freeTo(index(1));
    assert.ok(inflights.isFull);
    inflights.freeTo(index(2));
    assert.ok(!inflights.isFull);
  });

  it("accepts no message while it is full, and none out of order", () => {
    const inflights = new Inflights({ messagesMax: 2, bytesMax: 100 });
    inflights.add(index(5), 1);
    assert.throws(() => inflights.add(index(5), 1), /in order/);
    inflights.add(index(6), 1);
    assert.throws(() => inflights.add(index(7), 1), /full/);
  });
});
