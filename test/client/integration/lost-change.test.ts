import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { connect } from "../../../client/connect.ts";
import { isAshlarError } from "../../../shared/base/errors.ts";
import type { ClusterId } from "../../../shared/base/ids.ts";
import { TcpNetwork } from "../../../shared/platform/tcp-network.ts";
import type { ConnectOptions, Link, Listener, Network } from "../../../shared/ports/network.ts";
import { changeMasters } from "../../../shared/protocol/masters-api.ts";
import { MemoryLog } from "../../support/wire-world.ts";
import { makeEnv } from "../support/loopback-cluster.ts";
import { startRealMasters } from "../support/real-masters.ts";

/** TCP that breaks under every message with a certain text in it, which is lost. */
class LosingNetwork implements Network {
  readonly #tcp = new TcpNetwork();
  readonly #text: string;
  lostCount = 0;

  constructor(text: string) {
    this.#text = text;
  }

  async connect(address: string, options: ConnectOptions): Promise<Link> {
    const link = await this.#tcp.connect(address, options);
    return {
      peerAddress: link.peerAddress,
      start: (receiver) => link.start(receiver),
      write: (parts) => {
        if (Buffer.concat(parts).includes(this.#text)) {
          this.lostCount += 1;
          link.destroy();
        }
        return link.write(parts);
      },
      pause: () => link.pause(),
      resume: () => link.resume(),
      close: () => link.close(),
      destroy: () => link.destroy(),
    };
  }

  listen(): Promise<Listener> {
    return Promise.reject(new Error("A client does not listen"));
  }
}

describe("a change of the masters whose answer does not come", () => {
  it("does not count as made because there is none under way", async () => {
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
