import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { connect } from "../../../client/connect.ts";
import type { FileSystem } from "../../../client/file-system.ts";
import type { ClusterId } from "../../../shared/base/ids.ts";
import { SystemClock } from "../../../shared/platform/system-clock.ts";
import { MemoryLog } from "../../support/wire-fixture.ts";
import { makeEnv } from "../support/loopback-cluster.ts";
import { startRealMasters } from "../support/real-masters.ts";

const TEN_YEARS_MS = 3_650 * 24 * 60 * 60 * 1_000;
const MINUTE_MS = 60_000;

/** A clock whose wall time is ten years ahead. */
class AheadClock extends SystemClock {
  override wallMs(): number {
    return super.wallMs() + TEN_YEARS_MS;
  }
}

async function untilReported(fs: FileSystem, reason: RegExp): Promise<void> {
  const clock = new SystemClock();
  const endMs = clock.monotonicMs() + 10_000;
  while (!(await fs.status()).health.reasons.some((text) => reason.test(text))) {
    assert.ok(clock.monotonicMs() < endMs, "the status names the master");
    await clock.sleep(50);
  }
}

describe("a leader whose clock is ten years ahead", () => {
  it("stamps honest times, forgets nothing, and is named by the status", async () => {
    let count = 0;
    await using masters = await startRealMasters({
      count: 3,
      clusterId: "c".repeat(32) as ClusterId,
      makeEnv: () => {
        count += 1;
        const env = makeEnv(new MemoryLog());
        return count === 1 ? { ...env, clock: new AheadClock() } : env;
      },
      settings: {},
    });
    await using fs = await connect({ masters: masters.members.map(({ address }) => address) });
    const { index } = await fs.writeFile("/precious", "text");
    await fs.unlink("/precious");
    await fs.masters.transfer(1);
    await fs.create("/now");
    const { mtimeMs } = await fs.stat("/now");
    assert.ok(Math.abs(mtimeMs - Date.now()) < MINUTE_MS, new Date(mtimeMs).toISOString());
    const seen = await fs.status();
    await untilReported(fs, /^the clock of master 1 is 36\d\d d ahead of the other masters$/);
    await fs.create("/later");
    assert.ok((await fs.status()).history.oldestIndex <= seen.history.oldestIndex);
    assert.equal(new TextDecoder().decode(await fs.readFile("/precious", { at: index })), "text");
  });
});
