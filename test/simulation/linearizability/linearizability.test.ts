import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { checkHistory, isLinearizable } from "./check.ts";
import { findCounterexample, requireLinearizable } from "./counterexample.ts";
import { directoryModel } from "./directory-model.ts";
import type { NameInput, NameOutput } from "./directory-operations.ts";
import { isDirectoryExplained, isExplainedBySomeOrder } from "./every-order.ts";
import type { Operation } from "./history.ts";
import { Directories, Registers, randomHistory } from "./random-history.ts";
import { type RegisterInput, type RegisterOutput, registerModel } from "./register-model.ts";

const smallOperation = fc.record({
  input: fc.oneof(
    fc.record({ kind: fc.constant("write" as const), value: fc.integer({ min: 1, max: 2 }) }),
    fc.record({ kind: fc.constant("read" as const) }),
  ),
  seen: fc.integer({ min: 0, max: 2 }),
  isUnknown: fc.nat({ max: 5 }).map((dice) => dice === 0),
  callTime: fc.nat({ max: 12 }),
  lasts: fc.nat({ max: 6 }),
});

const smallHistory = fc.array(smallOperation, { minLength: 1, maxLength: 6 }).map((drafts) =>
  drafts.map(({ input, seen, isUnknown, callTime, lasts }, position) => {
    const answer: RegisterOutput = input.kind === "write" ? "done" : seen;
    return {
      process: `p${position}`,
      key: "r",
      input: input as RegisterInput,
      output: isUnknown ? null : answer,
      callTime,
      returnTime: callTime + lasts,
    };
  }),
);

describe("the linearizability checker", () => {
  it("agrees with trying every order of small histories of a register", () => {
    const counts = { accepted: 0, rejected: 0 };
    fc.assert(
      fc.property(smallHistory, (history) => {
        const expected = isExplainedBySomeOrder(registerModel.step, history, 0);
        counts[expected ? "accepted" : "rejected"] += 1;
        assert.equal(isLinearizable(registerModel, history), expected);
      }),
      { numRuns: 4_000 },
    );
    assert.ok(counts.accepted > 500 && counts.rejected > 500, JSON.stringify(counts));
  });

  it("agrees with trying every order of small histories of directories with a wrong answer", () => {
    const counts = { accepted: 0, rejected: 0 };
    const options = { processCount: 3, operationCount: 7 };
    fc.assert(
      fc.property(fc.integer(), fc.nat(), (seed, position) => {
        const unknownRate = position % 2 === 0 ? 0.15 : 0.4;
        const history = randomHistory(new Directories(1), { seed, unknownRate, ...options });
        const wrong = withForeignAnswer(history, position % history.length);
        const expected = isDirectoryExplained(wrong);
        counts[expected ? "accepted" : "rejected"] += 1;
        assert.equal(isLinearizable(directoryModel, wrong), expected);
      }),
      { numRuns: 2_000 },
    );
    assert.ok(counts.accepted > 200 && counts.rejected > 200, JSON.stringify(counts));
  });

  it("accepts random histories of a linearizable object with unanswered operations", () => {
    const options = { processCount: 5, operationCount: 300, unknownRate: 0.03 };
    fc.assert(
      fc.property(fc.integer(), (seed) => {
        const ofRegisters = randomHistory(new Registers(5), { seed, ...options });
        assert.equal(checkHistory(registerModel, ofRegisters).kind, "linearizable");
        const ofDirectories = randomHistory(new Directories(5), { seed, ...options });
        assert.equal(checkHistory(directoryModel, ofDirectories).kind, "linearizable");
      }),
      { numRuns: 100 },
    );
  });

  it("accepts random histories with a high rate of unanswered operations", () => {
    const options = { processCount: 5, operationCount: 60, unknownRate: 0.2 };
    fc.assert(
      fc.property(fc.integer(), (seed) => {
        const history = randomHistory(new Directories(1), { seed, ...options });
        assert.equal(checkHistory(directoryModel, history).kind, "linearizable");
      }),
      { numRuns: 50 },
    );
  });

  it("finishes if 80 consecutive operations are unanswered", () => {
    const options = { processCount: 5, operationCount: 200, unknownRate: 0 };
    fc.assert(
      fc.property(fc.integer(), (seed) => {
        const history = randomHistory(new Directories(1), { seed, ...options });
        history.sort((left, right) => left.callTime - right.callTime);
        const answered = history.map((operation, position) => {
          return position < 110 || position >= 190 ? operation : { ...operation, output: null };
        });
        assert.equal(checkHistory(directoryModel, answered).kind, "linearizable");
      }),
      { numRuns: 50 },
    );
  });

  it("finishes if many unanswered writes take effect long after later ones", () => {
    const COUNT = 16;
    let time = 0;
    let version = 0;
    const operation = (input: NameInput, output: NameOutput | null) => {
      time += 2;
      return {
        process: `p${time}`,
        key: "/d",
        input,
        output,
        callTime: time,
        returnTime: time + 1,
      };
    };
    const names = Array.from({ length: COUNT }, (_, index) => `n${index}`);
    const put = (name: string, value: string, output: NameOutput | null) =>
      operation({ kind: "put", name, value }, output);
    const late = names.map((name) => put(name, `late ${name}`, null));
    const overwritten = names.flatMap((name) =>
      [1, 2, 3].map((round) => put(name, `${round}`, { kind: "done", version: ++version })),
    );
    const found = names.map((name) =>
      operation(
        { kind: "read", name },
        { kind: "found", value: `late ${name}`, version: ++version },
      ),
    );
    assert.ok(isLinearizable(directoryModel, [...late, ...overwritten, ...found]));
  });

  it("finds one stale read in 100,000 operations of 10 clients on 100 keys", (context) => {
    const options = { processCount: 10, operationCount: 100_000, unknownRate: 0.0005 };
    const history = randomHistory(new Registers(100), { seed: 1, ...options });
    const startMs = performance.now();
    assert.equal(checkHistory(registerModel, history).kind, "linearizable");
    const tookMs = Math.round(performance.now() - startMs);
    context.diagnostic(`100,000 operations were checked in ${tookMs} ms`);
    const stale = history.findLastIndex(
      ({ output }) => typeof output === "number" && output > 1_000,
    );
    const wrong = history.with(stale, {
      ...(history[stale] as (typeof history)[number]),
      output: 1,
    });
    const result = checkHistory(registerModel, wrong);
    assert.equal(result.kind, "violation");
  });
});

/** Replaces the answer of one operation by the answer of another operation. */
function withForeignAnswer(
  history: readonly Operation<NameInput, NameOutput>[],
  position: number,
): readonly Operation<NameInput, NameOutput>[] {
  const own = history[position] as Operation<NameInput, NameOutput>;
  const other = history.find((each) => each !== own && each.input.kind === own.input.kind);
  return other === undefined ? history : history.with(position, { ...own, output: other.output });
}

/** Parses a history from lines such as `p1 0-10 write 1`: process, call and return, operation. */
function registerHistory(lines: readonly string[]): Operation<RegisterInput, RegisterOutput>[] {
  return lines.map((line) => {
    const [process, times, kind, number] = line.split(" ") as [string, string, string, string];
    const [callTime, returnTime] = times.split("-").map(Number) as [number, number];
    const isUnknown = Number.isNaN(returnTime);
    const value = Number(number);
    const input: RegisterInput = kind === "write" ? { kind, value } : { kind: "read" };
    const answer: RegisterOutput = kind === "write" ? "done" : value;
    return { process, key: "r", input, output: isUnknown ? null : answer, callTime, returnTime };
  });
}

const accepts = (...lines: readonly string[]): boolean =>
  isLinearizable(registerModel, registerHistory(lines));

describe("operations of unknown outcome", () => {
  it("may take effect long after the client's timeout", () => {
    assert.ok(accepts("p1 0-? write 1", "p2 10-20 read 0", "p2 30-40 read 1"));
  });

  it("may never take effect", () => {
    assert.ok(accepts("p1 0-? write 1", "p2 10-20 read 0", "p2 30-40 read 0"));
  });

  it("take effect at most once, and not before their call", () => {
    assert.ok(!accepts("p1 0-? write 1", "p2 10-20 read 1", "p2 30-40 write 2", "p2 50-60 read 1"));
    assert.ok(!accepts("p1 30-? write 1", "p2 10-20 read 1"));
  });
});

describe("a counterexample", () => {
  const STALE = [
    "p1 0-10 write 1",
    "p2 5-15 read 1",
    "p1 20-30 write 2",
    "p3 21-29 read 2",
    "p2 40-50 read 1",
    "p3 60-70 read 7",
  ];

  it("ends with the first operation that cannot be explained", () => {
    const history = registerHistory(STALE);
    const { failedOperation, history: shown } = findCounterexample(registerModel, {
      key: "r",
      history,
    });
    assert.equal(failedOperation, history[4]);
    assert.equal(shown.at(-1), failedOperation);
  });

  it("is drawn with processes as rows and time as columns, without needless reads", () => {
    const history = registerHistory(STALE);
    assert.throws(() => requireLinearizable(registerModel, history), {
      name: "LinearizabilityViolation",
      message: `\
Not linearizable: key r, process p2: read → 1

p1  ├ write 1 → done ┤ ├ write 2 → done ┤
p2                                        ├ read → 1 ┤  <- cannot be explained

It could have found: 2`,
    });
  });

  it("shows an unanswered operation with an open end", () => {
    const history = registerHistory(["p1 0-? write 1", "p2 10-20 read 1", "p2 30-40 read 0"]);
    assert.throws(() => requireLinearizable(registerModel, history), {
      message: `\
Not linearizable: key r, process p2: read → 0

p1  ├ write 1 → ? …
p2   ├ read → 1 ┤ ├ read → 0 ┤  <- cannot be explained

It could have found: 1`,
    });
  });

  it("is not linearizable, but is linearizable without its last answer", () => {
    const options = { processCount: 4, operationCount: 60, unknownRate: 0.03 };
    let foundCount = 0;
    fc.assert(
      fc.property(fc.integer(), fc.nat(), (seed, position) => {
        const history = randomHistory(new Directories(2), { seed, ...options });
        const wrong = withForeignAnswer(history, position % history.length);
        const result = checkHistory(directoryModel, wrong);
        if (result.kind === "linearizable") return;
        foundCount += 1;
        const { history: shown, failedOperation } = findCounterexample(directoryModel, result);
        assert.ok(!isLinearizable(directoryModel, shown));
        const earlier = shown.map((each) =>
          each === failedOperation ? { ...each, output: null } : each,
        );
        assert.ok(isLinearizable(directoryModel, earlier));
      }),
      { numRuns: 200 },
    );
    assert.ok(foundCount > 20, `${foundCount} wrong histories`);
  });
});

describe("the directory model", () => {
  const version = (index: number): NameOutput => ({ kind: "done", version: index });
  type Step = readonly [NameInput, NameOutput | null];
  const history = (...steps: readonly Step[]): Operation<NameInput, NameOutput>[] =>
    steps.map(([input, output], position) => ({
      process: "p1",
      key: "/d",
      input,
      output,
      callTime: 10 * position,
      returnTime: 10 * position + 5,
    }));
  const isExplained = (...steps: readonly Step[]): boolean =>
    isLinearizable(directoryModel, history(...steps));

  it("keeps the value of a renamed file and sets its version to that of the rename", () => {
    const before = [
      [{ kind: "put", name: "a", value: "w1" }, version(4)],
      [{ kind: "rename", name: "a", to: "b" }, version(6)],
    ] as const;
    const readOld: NameInput = { kind: "read", name: "a" };
    const readNew: NameInput = { kind: "read", name: "b" };
    const found: NameOutput = { kind: "found", value: "w1", version: 6 };
    assert.ok(isExplained(...before, [readOld, { kind: "nothing" }], [readNew, found]));
    assert.ok(!isExplained(...before, [readOld, { ...found, version: 4 }]));
    assert.ok(!isExplained(...before, [readNew, { ...found, version: 4 }]));
  });

  it("applies all steps of a transaction or none", () => {
    const both: NameInput = {
      kind: "transact",
      steps: [
        { kind: "put", name: "a", value: "w1" },
        { kind: "create", name: "b" },
      ],
    };
    const readA: NameInput = { kind: "read", name: "a" };
    const halfDone: NameOutput = { kind: "found", value: "w1", version: 5 };
    const created = [{ kind: "create", name: "b" }, version(4)] as const;
    const refused = [both, { kind: "refused", code: "ALREADY_EXISTS" }] as const;
    assert.ok(isExplained(created, refused, [readA, { kind: "nothing" }]));
    assert.ok(!isExplained(created, refused, [readA, halfDone]));
    assert.ok(isExplained([both, version(5)], [readA, halfDone]));
  });

  it("requires increasing versions, and one version for each value", () => {
    const put = (value: string): NameInput => ({ kind: "put", name: "a", value });
    const read: NameInput = { kind: "read", name: "a" };
    const found = (index: number): NameOutput => ({ kind: "found", value: "w1", version: index });
    assert.ok(!isExplained([put("w1"), version(7)], [put("w2"), version(6)]));
    assert.ok(isExplained([put("w1"), null], [read, found(7)], [read, found(7)]));
    assert.ok(!isExplained([put("w1"), null], [read, found(7)], [read, found(8)]));
  });
});
