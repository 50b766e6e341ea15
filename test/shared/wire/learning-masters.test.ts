import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { AshlarError } from "../../../shared/base/errors.ts";
import { withMasters } from "./masters.ts";

describe("the leader channel, when the masters change", () => {
  it("learns from the leader where the others are, though its config names one only", async () => {
    await withMasters(async (masters) => {
      await masters.startAll();
      masters.configured = ["m1:9000"];
      masters.told = ["m1:9000", "m2:9000"];
      assert.equal(await masters.settle(masters.rename()), "m1");
      // Later there is a third one, and nothing has failed.
      masters.told = ["m2:9000", "m3:9000"];
      await masters.clock.advance(11_000);
      assert.equal(await masters.settle(masters.rename()), "m1");
      masters.network.crash("m1");
      masters.leader = "m3";
      assert.equal(await masters.settle(masters.rename({ idempotent: true })), "m3");
    });
  });

  it("asks at once when it is told that they have changed", async () => {
    await withMasters(async (masters) => {
      await masters.startAll();
      masters.configured = ["m1:9000"];
      masters.told = ["m1:9000"];
      assert.equal(await masters.settle(masters.rename()), "m1");
      masters.told = ["m3:9000"];
      await masters.settle(masters.channel.refreshMasters());
      masters.network.crash("m1");
      masters.leader = "m3";
      assert.equal(await masters.settle(masters.rename({ idempotent: true })), "m3");
    });
  });

  it("goes on from a master that was removed to those that it names", async () => {
    await withMasters(async (masters) => {
      await masters.startAll();
      masters.configured = ["m1:9000"];
      masters.leader = "m2";
      masters.master("m1").behave = async () =>
        new AshlarError("MASTER_REMOVED", "Not any more", {
          details: { masters: ["m2:9000", "m3:9000"] },
        });
      assert.equal(await masters.settle(masters.rename()), "m2");
    });
  });
});
