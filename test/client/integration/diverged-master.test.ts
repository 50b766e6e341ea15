import assert from "node:assert/strict";
import { cp, rename } from "node:fs/promises";
import { describe, it } from "node:test";
import { freeAddresses } from "../../../client/cli/cluster/free-ports.ts";
import { connect } from "../../../client/connect.ts";
import type { ClusterId } from "../../../shared/base/ids.ts";
import { Closers } from "../../../shared/flow/closers.ts";
import { SystemClock } from "../../../shared/platform/system-clock.ts";
import { runCli } from "../../support/memory-cli-env.ts";
import { TempDirectory } from "../../support/temp-directory.ts";
import { MemoryLog } from "../../support/wire-fixture.ts";
import { makeEnv } from "../support/loopback-cluster.ts";
import { startRealMaster } from "../support/real-masters.ts";

const clusterId = "d".repeat(32) as ClusterId;
const REASON =
  /^master 1 does not follow the leader for 1\d s: expected entry \d+ of term \d+, which this member has committed: current value is term \d+; stop it and keep its data directory, which can be the only one with some acknowledged changes: docs\/operations\.md, "A master does not follow the leader"$/;

/** Moves the leadership, so that no later entry has the term of an entry that was lost. */
async function raiseTerm(addresses: readonly string[]): Promise<void> {
  await using fs = await connect({ masters: addresses });
  for (const member of [2, 3]) await fs.masters.transfer(member);
}

describe("a master whose committed entries the others have lost", () => {
  it("is named by the status, with the reason and the way out", async () => {
    await using temp = await TempDirectory.make();
    const addresses = await freeAddresses(0, 3);
    const directoryOf = (position: number): string => `${temp.path}/${position}`;
    const start = async (closers: Closers, positions: readonly number[]): Promise<void> => {
      const options = { clusterId, makeEnv: () => makeEnv(new MemoryLog()), settings: {} };
      for (const position of positions) {
        const path = directoryOf(position);
        await startRealMaster(options, { addresses, position, closers, path });
      }
    };
    const createFiles = async (prefix: string, count: number): Promise<void> => {
      await using fs = await connect({ masters: addresses });
      for (let number = 0; number < count; number += 1) await fs.create(`/${prefix}${number}`);
    };
    for (const [prefix, count] of [
      ["a", 1],
      ["b", 20],
    ] as const) {
      await using closers = new Closers();
      await start(closers, [0, 1, 2]);
      await createFiles(prefix, count);
      await closers[Symbol.asyncDispose]();
      if (prefix === "b") continue;
      for (const position of [1, 2]) {
        await cp(directoryOf(position), `${directoryOf(position)}.old`, { recursive: true });
      }
    }
    for (const position of [1, 2]) {
      await rename(directoryOf(position), `${directoryOf(position)}.new`);
      await rename(`${directoryOf(position)}.old`, directoryOf(position));
    }
    await using closers = new Closers();
    await start(closers, [1, 2]);
    await raiseTerm(addresses);
    await createFiles("c", 1);
    await start(closers, [0]);
    const variables = { ASHLAR_CLUSTER: addresses.join(",") };
    const status = () => runCli(["status", "--json"], { variables });
    const clock = new SystemClock();
    const endMs = clock.monotonicMs() + 30_000;
    for (;;) {
      const { stdout, status: exitStatus } = await status();
      const { health, masters } = JSON.parse(stdout);
      const reason = health.reasons.find((text: string) => REASON.test(text));
      if (reason !== undefined) {
        assert.equal(exitStatus, 1);
        assert.match(masters[0].refusal.reason, /^expected entry/);
        assert.ok(masters[0].refusal.for_ms >= 10_000);
        const progress = JSON.parse(
          (await runCli(["master", "status", "--json"], { variables })).stdout,
        );
        assert.match(progress.masters[0].refusal.reason, /^expected entry/);
        const shown = (await runCli(["master", "status"], { variables })).stdout;
        assert.match(shown, /^1 +voter +refused /m);
        assert.deepEqual([masters[1].refusal, masters[2].refusal], [null, null]);
        break;
      }
      assert.ok(
        clock.monotonicMs() < endMs,
        `the status names the master: ${health.reasons} ${JSON.stringify(masters)}`,
      );
      await clock.sleep(500);
    }
  });
});
