import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { decodeLoss, encodeLoss } from "../../chunkserver/store/lost-replica.ts";
import type { LogIndex } from "../../shared/base/ids.ts";
import { ID_MAX } from "../../shared/protocol/schemas.ts";

describe("the row of a lost replica", () => {
  it("keeps the reason and the intent", () => {
    for (const intentIndex of [0, 1, ID_MAX] as LogIndex[]) {
      const reason = "block 3 is corrupt";
      assert.deepEqual(decodeLoss(encodeLoss(reason, intentIndex)), { reason, intentIndex });
    }
  });

  it("has no intent if an older version wrote it", () => {
    const row = new TextEncoder().encode("its extent file is missing");
    assert.deepEqual(decodeLoss(row), { reason: "its extent file is missing", intentIndex: null });
  });
});
