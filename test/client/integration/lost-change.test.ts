import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { connect } from "../../../client/connect.ts";
import { isAshlarError } from "../../../shared/base/errors.ts";
import type { ClusterId } from "../../../shared/base/ids.ts";
import type { Link } from "../../../shared/ports/network.ts";
import { changeMasters } from "../../../shared/protocol/masters-api.ts";
import { MemoryLog } from "../../support/wire-fixture.ts";
import { ClientNetwork } from "../support/client-network.ts";
import { makeEnv } from "../support/loopback-cluster.ts";
import { startRealMasters } from "../support/real-masters.ts";

/** TCP that breaks on every message that contains a given text. The message is lost. */
class LosingNetwork extends ClientNetwork {
  readonly #text: string;
  lostCount = 0;

  constructor(text: string) {
    super();
    this.#text = text;
  }

  protected changed(link: Link): Partial<Link> {
    return {
      write: (parts) => {
        if (Buffer.concat(parts).includes(this.#text)) {
          this.lostCount += 1;
          link.destroy();
        }
        return link.write(parts);
      },
    };
  }
}

describe("a membership change whose request is lost", () => {
  it("is not reported as done although no change is pending", async () => {
    await using masters = await startRealMasters({
      count: 3,
      clusterId: "d".repeat(32) as ClusterId,
      makeEnv: () => makeEnv(new MemoryLog()),
      settings: {},
    });
    const network = new LosingNetwork(changeMasters.name);
    const env = { ...makeEnv(new MemoryLog()), network };
    const addresses = masters.members.map((member) => member.address);
    await using fs = await connect({ masters: addresses, env });
    const { masters: before } = await fs.masters.status();
    await assert.rejects(fs.masters.remove([3]), (error) => {
      return isAshlarError(error) && error.retry === "idempotent-only";
    });
    assert.equal(network.lostCount, 1);
    const { masters: left } = await fs.masters.status();
    assert.deepEqual(
      left.map(({ memberId, vote }) => `${memberId} ${vote}`),
      before.map(({ memberId, vote }) => `${memberId} ${vote}`),
    );
  });
});
