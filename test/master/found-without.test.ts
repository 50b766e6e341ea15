import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as v from "valibot";
import { checkMasterConfig, masterConfigSchema } from "../../master/config.ts";

const CONFIG = v.parse(masterConfigSchema, {
  dataDir: "/data",
  clusterId: "c".repeat(32),
  memberId: 1,
  members: ["1=m1:7400", "2=m2:7400", "3=m3:7400"],
});

describe("the setting foundWithout", () => {
  it("is accepted on the command line for other members of the config", () => {
    checkMasterConfig({ ...CONFIG, foundWithout: [3] }, { foundWithout: { kind: "flag" } });
    for (const foundWithout of [[1], [4]]) {
      assert.throws(
        () => checkMasterConfig({ ...CONFIG, foundWithout }, { foundWithout: { kind: "flag" } }),
        /foundWithout: expected numbers of other members/,
      );
    }
  });

  it("is refused where it would stay: in the config file and in the environment", () => {
    for (const kind of ["file", "environment"]) {
      assert.throws(
        () => checkMasterConfig({ ...CONFIG, foundWithout: [3] }, { foundWithout: { kind } }),
        { code: "INVALID_ARGUMENT", message: /expected it on the command line/ },
      );
    }
  });
});
