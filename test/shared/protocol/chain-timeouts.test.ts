import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  sealTimeoutMsOf,
  WRITER_SEAL_TIMEOUT_MS,
} from "../../../shared/protocol/chain-timeouts.ts";
import { CHAIN_SERVERS_MAX } from "../../../shared/protocol/intent.ts";
import { parser } from "../../../shared/protocol/method.ts";
import { storageClassSchema } from "../../../shared/protocol/namespace-api.ts";

/** Time in which the messages of a chain arrive. */
const MARGIN_MS = 2_000;

describe("the timeouts of a seal", () => {
  it("ascend from the end of the longest chain to the writer", () => {
    let beforeMs = 0;
    for (let serversAfter = 1; serversAfter < CHAIN_SERVERS_MAX; serversAfter += 1) {
      const timeoutMs = sealTimeoutMsOf(serversAfter);
      assert.ok(timeoutMs >= beforeMs + MARGIN_MS, `${serversAfter}: ${timeoutMs}`);
      beforeMs = timeoutMs;
    }
    assert.ok(WRITER_SEAL_TIMEOUT_MS >= beforeMs + MARGIN_MS, `the first server: ${beforeMs}`);
  });

  it("hold for the most copies that a storage class can have", () => {
    const parse = parser("class", storageClassSchema);
    const classOf = (copies: number) => ({ name: "a", copies, copiesMin: 1, racksMin: 1 });
    assert.equal(parse(classOf(CHAIN_SERVERS_MAX)).copies, CHAIN_SERVERS_MAX);
    assert.throws(() => parse(classOf(CHAIN_SERVERS_MAX + 1)));
  });
});
