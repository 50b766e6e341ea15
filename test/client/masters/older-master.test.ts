import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { withOlderMaster } from "../../../client/masters/older-master.ts";
import { AshlarError } from "../../../shared/base/errors.ts";

describe("a call to a master of an older version", () => {
  it("fails with what to do, if the master does not know the method", () => {
    // The words of version 0.1.0.
    const words = "This server has no call masters.finalize-upgrade";
    const cause = new AshlarError("UNSUPPORTED", words, { details: { address: "a:1" } });
    const error = withOlderMaster(cause, "masters.finalize-upgrade");
    assert.ok(error instanceof AshlarError);
    assert.equal(error.code, "UNSUPPORTED");
    assert.match(error.message, /masters\.finalize-upgrade: the leader runs an older version/);
    assert.match(error.hint ?? "", /Upgrade all masters first/);
    assert.deepEqual([error.cause, error.details], [cause, { address: "a:1" }]);
  });

  it("keeps every other error", () => {
    const error = new AshlarError("UNAVAILABLE", "x");
    assert.equal(withOlderMaster(error, "fleet.status"), error);
  });
});
