import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { AshlarError } from "../../../shared/base/errors.ts";
import { withMasters } from "./masters.ts";

describe("LeaderChannel, after a membership change", () => {
  it("gets the addresses of all masters from the leader, even if only one is configured", async () => {
    await withMasters(async (masters) => {
      await masters.startAll();
      masters.configured = ["m1:9000"];
      masters.reported = ["m1:9000", "m2:9000"];
      assert.equal(await masters.settle(masters.rename()), "m1");
      // Later a third master is added. No call has failed.
      masters.reported = ["m2:9000", "m3:9000"];
      await masters.clock.advance(11_000);
      assert.equal(await masters.settle(masters.rename()), "m1");
      masters.network.crash("m1");
      masters.leader = "m3";
      assert.equal(await masters.settle(masters.rename({ idempotent: true })), "m3");
    });
  });

  it("fetches the addresses immediately on `refreshMasters`", async () => {
    await withMasters(async (masters) => {
      await masters.startAll();
      masters.configured = ["m1:9000"];
      masters.reported = ["m1:9000"];
      assert.equal(await masters.settle(masters.rename()), "m1");
      masters.reported = ["m3:9000"];
      await masters.settle(masters.channel.refreshMasters());
      masters.network.crash("m1");
      masters.leader = "m3";
      assert.equal(await masters.settle(masters.rename({ idempotent: true })), "m3");
    });
  });

  it("continues at the masters in the error of a removed master", async () => {
    await withMasters(async (masters) => {
      await masters.startAll();
      masters.configured = ["m1:9000"];
      masters.leader = "m2";
      masters.master("m1").behave = async () =>
        new AshlarError("MASTER_REMOVED", "This master was removed", {
          details: { masters: ["m2:9000", "m3:9000"] },
        });
      assert.equal(await masters.settle(masters.rename()), "m2");
    });
  });
});
