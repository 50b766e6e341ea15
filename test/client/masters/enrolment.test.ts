import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ClusterEnrolment } from "../../../client/masters/enrolment.ts";
import { MasterSession } from "../../../client/masters/master-session.ts";
import { AshlarError } from "../../../shared/base/errors.ts";
import type { LogIndex } from "../../../shared/base/ids.ts";
import { createHasher } from "../../../shared/platform/hasher.ts";
import {
  changeEnrolment,
  type EnrolmentStatus,
  type RequestedEnrolmentChange,
} from "../../../shared/protocol/enrolment-api.ts";
import type { CallMethod } from "../../../shared/protocol/method.ts";
import type { LeaderCallOptions } from "../../../shared/wire/leader-channel.ts";
import type { Received } from "../../../shared/wire/rpc.ts";
import { SeededRandom } from "../../support/seeded-random.ts";
import { VirtualClock } from "../../support/virtual-clock.ts";
import { hasCode, MemoryLog } from "../../support/wire-fixture.ts";

/** Masters with a closed enrolment, and a channel to them that repeats idempotent calls. */
class Masters {
  keyVersion = 1;
  /** Whether the program of the leader is older than the rotation of a closed enrolment. */
  isOlder = false;
  /** Number of next answers that are lost after the change was made. */
  lostAnswers = 0;
  /** Whether a change is lost before it is made. */
  isCut = false;

  connection(): Promise<never> {
    return Promise.reject(new AshlarError("UNSUPPORTED", "Cannot open a stream in this test"));
  }

  callParts(): Promise<never> {
    return this.connection();
  }

  refreshMasters(): Promise<void> {
    return this.connection();
  }

  async call<Request, Response>(
    method: CallMethod<Request, Response>,
    request: Request,
    options: LeaderCallOptions,
  ): Promise<Received<Response>> {
    for (let attempt = 1; ; attempt += 1) {
      const isChange = method.name === changeEnrolment.name;
      if (isChange) this.#change((request as { change: RequestedEnrolmentChange }).change);
      const isLost = isChange && (this.isCut || this.lostAnswers > 0);
      if (!isLost) {
        return { head: this.#status() as Response, body: new Uint8Array(), release: () => {} };
      }
      this.lostAnswers -= 1;
      if (options.idempotent !== true || attempt === 3)
        throw new AshlarError("COMMIT_UNKNOWN", "the answer is lost");
    }
  }

  #change(change: RequestedEnrolmentChange): void {
    if (change.kind !== "close" || this.isOlder || this.isCut) return;
    if (change.rotatesFrom === this.keyVersion) this.keyVersion += 1;
  }

  #status(): EnrolmentStatus {
    const { keyVersion } = this;
    const none = { tokens: [], notEnrolled: [], silent: [] };
    return { isOpen: false, keyVersion, acceptedVersions: [keyVersion], ...none };
  }
}

function enrolmentOf(masters: Masters): ClusterEnrolment {
  const session = new MasterSession({
    ...{ channel: masters, anyMaster: masters, readMode: "linearizable" as const },
    ...{ seenIndex: 0 as LogIndex, clock: new VirtualClock(), log: new MemoryLog() },
    ...{ clientName: "test", timeoutMs: 1_000 },
  });
  return new ClusterEnrolment(session, { random: new SeededRandom(1), ...createHasher() });
}

describe("a rotation of the key of a closed enrolment", () => {
  it("is made once, although the answer of the masters is lost", async () => {
    const masters = new Masters();
    masters.lostAnswers = 1;
    const { keyVersion } = await enrolmentOf(masters).close({ rotateFrom: 1 });
    assert.deepEqual([keyVersion, masters.keyVersion], [2, 2]);
  });

  it("fails with the error of the call if the key was not rotated", async () => {
    const masters = new Masters();
    masters.isCut = true;
    await assert.rejects(enrolmentOf(masters).close({ rotateFrom: 1 }), hasCode("COMMIT_UNKNOWN"));
    assert.equal(masters.keyVersion, 1);
  });

  it("fails if the leader runs an older version, which ignores it", async () => {
    const masters = new Masters();
    masters.isOlder = true;
    const enrolment = enrolmentOf(masters);
    await assert.rejects(enrolment.close({ rotateFrom: 1 }), hasCode("VERSION_MISMATCH"));
    assert.equal((await enrolment.close()).keyVersion, 1, "without a rotation it is no error");
  });
});
