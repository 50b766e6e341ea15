import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { openMemberStorage } from "../../../master/storage/open-member-storage.ts";
import type { MemberId } from "../../../shared/base/ids.ts";
import { MemoryStores } from "../../../shared/platform/memory-store.ts";
import { MemoryDisk } from "../../support/memory-disk.ts";
import { SeededRandom } from "../../support/seeded-random.ts";
import { MemoryLog } from "../../support/wire-fixture.ts";
import { CLUSTER, hasher } from "./log-fixture.ts";

const OPERATIONS_MAX = 200;

describe("the first start of a member", () => {
  it("can be interrupted at any operation of the disk: the next start succeeds", async () => {
    const random = new SeededRandom(1);
    let interruptedCount = 0;
    for (let failing = 1; failing <= OPERATIONS_MAX; failing += 1) {
      let operations = 0;
      let isFailing = true;
      const medium = new MemoryDisk({
        fault: () => {
          operations += 1;
          return isFailing && operations >= failing ? "EIO" : null;
        },
      });
      const stores = new MemoryStores();
      const open = () =>
        openMemberStorage({
          ...{ disk: medium.mount(), stores, random, log: new MemoryLog(), hasher },
          ...{ clusterId: CLUSTER, memberId: 1 as MemberId, founders: [1 as MemberId] },
          ...{ segmentBytes: 1024 * 1024, cacheBytes: 1024 * 1024, keptBytes: 1024 * 1024 },
        });
      const isInterrupted = await open().then(
        () => false,
        () => true,
      );
      if (isInterrupted) interruptedCount += 1;
      isFailing = false;
      medium.crash(random);
      const { log } = await open();
      assert.equal(log.entries.lastIndex, 0, `interrupted at operation ${failing}`);
      await log.settleDamage(0 as never);
      await log.close();
      if (!isInterrupted) break;
    }
    assert.ok(interruptedCount > 20 && interruptedCount < OPERATIONS_MAX, `${interruptedCount}`);
  });
});
