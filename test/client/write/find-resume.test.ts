import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type BrokenChain, findResume } from "../../../client/write/find-resume.ts";
import { AshlarError } from "../../../shared/base/errors.ts";
import { BLOCK_BYTES, type ServerId } from "../../../shared/base/ids.ts";
import { VirtualClock } from "../../support/virtual-clock.ts";
import { hasCode } from "../../support/wire-fixture.ts";

const BYTES = 16 * BLOCK_BYTES;
const SERVERS = ["a", "b", "c"].map((letter) => ({
  serverId: letter.repeat(32) as ServerId,
  address: `${letter}:1`,
}));
const [A, B, C] = SERVERS.map(({ serverId }) => serverId) as [ServerId, ServerId, ServerId];

/** A broken chain whose writer has released all bytes but the last block. */
function broken(changes: Partial<BrokenChain> = {}): BrokenChain {
  const chain = { servers: SERVERS, blamed: null, isStalled: false, lengthBytes: BYTES };
  return { ...chain, firstKeptBytes: BYTES - BLOCK_BYTES, ...changes };
}

/** Answers of the servers by their id, one after another; the last one is repeated. */
type Answers = Readonly<Record<ServerId, readonly (number | AshlarError)[]>>;

async function find(answers: Answers, chain: BrokenChain, signal = new AbortController().signal) {
  const clock = new VirtualClock();
  const asked: ServerId[] = [];
  const ask = async ({ serverId }: { readonly serverId: ServerId }): Promise<number> => {
    const list = answers[serverId] ?? [];
    const turn = asked.filter((each) => each === serverId).length;
    asked.push(serverId);
    const answer = list[Math.min(turn, list.length - 1)];
    if (typeof answer === "number") return answer;
    throw answer ?? new AshlarError("UNAVAILABLE", "Cannot connect");
  };
  const found = findResume({ clock, signal, ask }, chain);
  const plan = await clock.advanceFor(found, "the plan");
  return { plan, asked, elapsedMs: clock.monotonicMs() };
}

const silent = new AshlarError("DEADLINE_EXCEEDED", "No answer within 2000 ms");
const gone = new AshlarError("UNAVAILABLE", "Cannot connect: connection refused");

describe("the servers of a broken chain", () => {
  it("are asked again if only silent ones can have bytes that the writer has released", async () => {
    const answers = { [A]: [silent, silent, BYTES], [B]: [gone], [C]: [silent] };
    const { plan } = await find(answers, broken());
    assert.deepEqual(plan, {
      ...{ kind: "resume", keep: [A], fillFrom: "a:1", resumeAtBytes: BYTES },
      exclude: [B, C],
    });
  });

  it("are not asked again if a server has the bytes", async () => {
    const { plan, asked } = await find({ [A]: [silent], [B]: [BYTES], [C]: [gone] }, broken());
    assert.equal(plan.kind, "resume");
    assert.equal(asked.length, 3);
  });

  it("keep the blamed one if no other has the bytes", async () => {
    const answers = { [A]: [BYTES], [B]: [gone], [C]: [gone] };
    const { plan } = await find(answers, broken({ blamed: A }));
    assert.deepEqual(plan.kind === "resume" && plan.keep, [A]);
  });

  it("keep the slowest one of a stalled chain if no other has the bytes", async () => {
    const answers = { [A]: [gone], [B]: [BYTES], [C]: [BYTES - BLOCK_BYTES] };
    const stalled = broken({ isStalled: true });
    const slowest = await find(answers, stalled);
    assert.deepEqual(slowest.plan.kind === "resume" && slowest.plan.keep, [B]);
    const only = await find({ [A]: [gone], [B]: [0], [C]: [BYTES] }, stalled);
    assert.deepEqual(only.plan.kind === "resume" && only.plan.keep, [C]);
  });

  it("have lost the bytes if all of them say so", async () => {
    const missing = new AshlarError("CHUNK_NOT_FOUND", "Cannot find the write");
    const { plan, asked } = await find({ [A]: [missing], [B]: [0], [C]: [missing] }, broken());
    assert.equal(plan.kind, "lost");
    assert.equal(asked.length, 3);
  });

  it("have lost the bytes if they stay silent for 30 s", async () => {
    const { plan, elapsedMs } = await find({ [A]: [silent], [B]: [gone], [C]: [gone] }, broken());
    assert.equal(plan.kind, "lost");
    assert.ok(elapsedMs >= 30_000 && elapsedMs < 40_000, `${elapsedMs} ms`);
  });

  it("are not asked further when the write ends", async () => {
    const stop = new AbortController();
    stop.abort(new AshlarError("CANCELLED", "The caller has cancelled the write"));
    const answers = { [A]: [silent], [B]: [gone], [C]: [gone] };
    await assert.rejects(find(answers, broken(), stop.signal), hasCode("CANCELLED"));
  });
});
