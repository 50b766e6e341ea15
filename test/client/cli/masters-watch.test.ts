import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { freeAddresses } from "../../../client/cli/cluster/free-ports.ts";
import { createClusterFiles } from "../../../client/cli/cluster/node-files.ts";
import { main } from "../../../client/cli/main.ts";
import {
  describeUnserved,
  SILENCE_MS_MIN,
  unservable,
  unservedReport,
} from "../../../client/cli/masters-report.ts";
import { MastersWatch } from "../../../client/cli/masters-watch.ts";
import { NodeNames } from "../../../client/cli/node-names.ts";
import { Output, type OutputOptions } from "../../../client/cli/output.ts";
import { StatusLine } from "../../../client/cli/status-line.ts";
import { WaitLine } from "../../../client/cli/wait-line.ts";
import { nodeEnv } from "../../../client/connect.ts";
import { summaryOf } from "../../../client/masters/probe-masters.ts";
import type { ClusterId } from "../../../shared/base/ids.ts";
import { Closers } from "../../../shared/flow/closers.ts";
import { SystemClock } from "../../../shared/platform/system-clock.ts";
import { TcpNetwork } from "../../../shared/platform/tcp-network.ts";
import { jsonLines, MemoryCliEnv, runCli } from "../../support/memory-cli-env.ts";
import { TempDirectory } from "../../support/temp-directory.ts";
import { eventually, LoopbackCluster } from "../support/loopback-cluster.ts";
import { startRealMaster } from "../support/real-masters.ts";

/** The promise of the CLI: a problem of the masters is reported within this time. */
const REPORT_MS = 2_000;
/** Time for the start of a command on a busy machine, in addition. */
const SLACK_MS = 1_500;
const TICK_SLACK_MS = 200;

const ANSWERED = { isRefused: false, isSilent: false };
const REFUSED = { isRefused: true, isSilent: false };

/** Returns the output of `status --json` of a cluster that serves. */
async function servedStatus(variables: Record<string, string>): Promise<Record<string, unknown>> {
  const { stdout } = await runCli(["status", "--json"], { variables });
  const [status] = jsonLines(stdout);
  assert.ok(status !== undefined);
  return status;
}

const keysOf = (value: unknown): string[] => Object.keys(value as object).sort();

async function timed<Result>(run: () => Promise<Result>): Promise<[Result, number]> {
  const startMs = performance.now();
  const result = await run();
  return [result, performance.now() - startMs];
}

/** Returns loopback addresses on which no process listens. */
async function refusingAddresses(count: number): Promise<string[]> {
  const network = new TcpNetwork();
  const open = Array.from({ length: count }, () => network.listen("127.0.0.1:0", () => {}));
  const listeners = await Promise.all(open);
  for (const listener of listeners) await listener.close();
  return listeners.map(({ address }) => address);
}

/** Commands of every kind: reads, changes, and those about the cluster. */
const COMMANDS = [
  ["ls", "/"],
  ["mkdir", "/d"],
  ["put", "-", "/f"],
  ["history", "/f"],
  ["status"],
  ["df"],
  ["master", "status"],
  ["watch", "/"],
] as const;

describe("a cluster that is down", () => {
  for (const command of COMMANDS) {
    it(`ends \`${command.join(" ")}\` at once, with the reason of each master`, async () => {
      const addresses = await refusingAddresses(3);
      const variables = { ASHLAR_CLUSTER: addresses.join(",") };
      const [result, durationMs] = await timed(() => runCli(command, { variables }));
      assert.deepEqual([result.status, result.stdout], [5, ""]);
      assert.match(result.stderr, /Cannot reach any master \(.*\); is the cluster running\?/);
      for (const address of addresses) {
        assert.ok(result.stderr.includes(`${address}: connection refused`), result.stderr);
      }
      assert.match(result.stderr, /hint: Start the masters .* in ASHLAR_CLUSTER/);
      assert.ok(durationMs < REPORT_MS, `${durationMs} ms`);
    });
  }

  it("names the command that starts a local cluster, quoted for the shell", async () => {
    await using directory = await TempDirectory.make();
    const path = `${directory.path}/it's down`;
    const addresses = await refusingAddresses(4);
    const settings = { masterSettings: {}, chunkserverSettings: {} };
    await createClusterFiles(path, { masters: 1, chunkservers: 1, addresses, ...settings });
    const { status, stderr } = await runCli(["ls", "--cluster", path]);
    assert.equal(status, 5);
    const quoted = `'${directory.path}/it'\\''s down'`;
    assert.ok(stderr.includes(`hint: ashlar cluster up --dir ${quoted}\n`), stderr);
  });
});

describe("a cluster without a majority", () => {
  it("is reported within 2 s by every command, with the state of each master", async () => {
    await using cluster = await LoopbackCluster.start(0, { masterCount: 3 });
    const { members } = cluster.masters;
    const [first, second, third] = members;
    assert.ok(first !== undefined && second !== undefined && third !== undefined);
    const term = first.running.consensus.status().term;
    const variables = { ASHLAR_CLUSTER: cluster.masterAddresses.join(",") };
    const served = await servedStatus(variables);
    await Promise.all([second.stop(), third.stop()]);
    await eventually("the master is no leader", () => {
      return first.running.consensus.status().role !== "leader";
    });
    for (const command of [
      ["ls", "/"],
      ["mkdir", "/d"],
      ["watch", "/"],
    ]) {
      const [result, durationMs] = await timed(() => runCli(command, { variables }));
      assert.equal(result.status, 5, result.stderr);
      assert.match(result.stderr, /no majority: 1 of 3 masters answers/);
      assert.match(result.stderr, new RegExp(`${first.address}: \\w+ in term \\d+`));
      assert.ok(result.stderr.includes(`${third.address}: connection refused`), result.stderr);
      assert.ok(durationMs < REPORT_MS + SLACK_MS, `${durationMs} ms`);
    }
    const [text, durationMs] = await timed(() => runCli(["status"], { variables }));
    assert.equal(text.status, 1);
    assert.match(text.stdout, /^cluster: critical\n {2}no majority: 1 of 3 masters answers/);
    assert.match(text.stdout, new RegExp(`unreachable +- +${third.address} +connection refused`));
    assert.ok(durationMs < REPORT_MS + SLACK_MS, `${durationMs} ms`);
    const json = await runCli(["status", "--json"], { variables });
    const [status] = jsonLines(json.stdout);
    assert.equal(json.status, 1);
    assert.deepEqual(status?.["health"], {
      word: "critical",
      reasons: ["no majority: 1 of 3 masters answers"],
      is_full: false,
    });
    const masters = status?.["masters"] as Array<Record<string, unknown>>;
    const own = masters.find((master) => master["address"] === first.address);
    assert.ok(Number(own?.["term"]) >= term && own?.["problem"] === null);
    assert.deepEqual(keysOf(status), keysOf(served), "the same keys as of a cluster that serves");
    const [servedMaster] = served["masters"] as Array<Record<string, unknown>>;
    assert.deepEqual(keysOf(own), [...keysOf(servedMaster), "problem", "vote"].sort());
  });
});

describe("a master that does not vote", () => {
  it("is shown, and is not counted in the majority", async () => {
    await using cluster = await LoopbackCluster.start(0, { masterCount: 2 });
    const learner = await cluster.addLearner();
    const [first, second] = cluster.masters.members;
    assert.ok(first !== undefined && second !== undefined);
    await eventually("every member knows the learner", () =>
      [first, learner].every(({ running }) => {
        return running.consensus.status().learners.includes(learner.address);
      }),
    );
    await second.stop();
    await eventually("there is no leader", () => cluster.masters.leader() === undefined);
    const variables = { ASHLAR_CLUSTER: [...cluster.masterAddresses, learner.address].join(",") };
    const ls = await runCli(["ls", "/"], { variables });
    assert.equal(ls.status, 5, ls.stderr);
    assert.match(ls.stderr, /no majority: 1 of 2 masters answers/);
    assert.match(ls.stderr, new RegExp(`${learner.address}: learner in term`));
    const text = await runCli(["status"], { variables });
    assert.match(text.stdout, new RegExp(`learner .*${learner.address} +answers, does not vote`));

    await learner.stop();
    const json = await runCli(["status", "--json"], { variables });
    const [status] = jsonLines(json.stdout);
    const masters = status?.["masters"] as Array<Record<string, unknown>>;
    const shown = masters.find(({ address }) => address === learner.address);
    assert.deepEqual([shown?.["role"], shown?.["vote"]], ["unreachable", "learner"]);
    assert.match(JSON.stringify(status?.["health"]), /1 of 2 masters/);
  });

  it("does not make a group without a leader look as if it had no majority", () => {
    const follower = { memberId: 1, role: "follower", term: 3, diskFull: null };
    const voter = { isVoter: true, answer: follower, problem: null, ...ANSWERED };
    const learner = { isVoter: false, answer: null, problem: "refused", ...REFUSED };
    const masters = [voter, learner, learner, learner].map((each, index) => {
      return { ...each, address: `m${index}:1` };
    });
    const { hasNoMajority, answeredCount, voterCount } = summaryOf(masters);
    assert.deepEqual([hasNoMajority, answeredCount, voterCount], [false, 1, 1]);
  });
});

describe("the majority of the masters", () => {
  const STATES = {
    follower: {
      answer: { memberId: 1, role: "follower", term: 3, diskFull: null },
      problem: null,
      ...ANSWERED,
    },
    leader: {
      answer: { memberId: 1, role: "leader", term: 3, diskFull: null },
      problem: null,
      ...ANSWERED,
    },
    refused: { answer: null, problem: "connection refused", ...REFUSED },
    silent: { answer: null, problem: "no answer", isRefused: false, isSilent: true },
    wrong: { answer: null, problem: "wrong role", isRefused: false, isSilent: false },
  };
  type State = keyof typeof STATES;
  /** The code of the error after a short silence, and after a long one. */
  const CASES: ReadonlyArray<readonly [readonly State[], string | null, string | null]> = [
    [["refused", "refused", "refused"], "UNAVAILABLE", "UNAVAILABLE"],
    [["refused", "refused", "follower"], "NO_LEADER", "NO_LEADER"],
    [["refused", "refused", "silent"], "NO_LEADER", "NO_LEADER"],
    [["refused", "wrong", "follower"], "NO_LEADER", "NO_LEADER"],
    [["refused", "silent", "silent"], null, "NO_LEADER"],
    [["silent", "silent", "silent"], null, "NO_LEADER"],
    [["silent", "silent", "follower"], null, "NO_LEADER"],
    [["silent"], null, "NO_LEADER"],
    [["silent", "follower", "follower"], null, null],
    [["silent", "silent", "leader"], null, null],
    [["refused", "refused", "leader"], null, null],
  ];

  for (const [states, early, late] of CASES) {
    it(`is judged from ${states.join(", ")}: silence counts only after some time`, () => {
      const masters = states.map((state, index) => {
        return { ...STATES[state], address: `m${index}:1`, isVoter: true };
      });
      const codes = [SILENCE_MS_MIN - 1, SILENCE_MS_MIN].map((waitedMs) => {
        const cluster = { directory: null, origin: "--cluster" };
        return unservable(summaryOf(masters), cluster, waitedMs)?.code ?? null;
      });
      assert.deepEqual(codes, [early, late]);
    });
  }
});

describe("the status of a local cluster without a majority", () => {
  it("has the names of the nodes, which `cluster start` takes", () => {
    const env = new MemoryCliEnv({ columns: 100 });
    const output = new Output(env, { json: false, quiet: false, verbosity: 0 } as OutputOptions);
    const down = { isVoter: true, answer: null, problem: "no answer" };
    const probe = summaryOf([
      { ...down, ...REFUSED, address: "m1:1" },
      { ...down, isRefused: false, isSilent: true, address: "m2:1" },
    ]);
    const error = unservable(probe, { directory: null, origin: "--cluster" }, 0);
    const names = new NodeNames(
      new Map([
        ["m1:1", "m1"],
        ["m2:1", "m2"],
      ]),
    );
    const report = unservedReport(error);
    assert.ok(report !== null);
    const text = describeUnserved(report, { output, names });
    assert.match(text, /^NODE .*\nm1 .*m1:1.*\nm2 .*m2:1/m);
  });
});

describe("`status --watch` of a cluster that cannot serve", () => {
  const CLUSTER_ID = "d".repeat(32) as ClusterId;
  const OPTIONS = { clusterId: CLUSTER_ID, settings: {}, makeEnv: () => nodeEnv() };
  interface OutputCase {
    /** Columns of the terminal; undefined for a pipe. */
    readonly columns: number | undefined;
    readonly words: readonly string[];
  }
  const PIPE: OutputCase = { columns: undefined, words: [] };
  const OUTPUTS: readonly OutputCase[] = [
    { columns: 100, words: [] },
    PIPE,
    { columns: undefined, words: ["--json"] },
  ];
  /** Masters that run at the start, of how many, and what is shown of them. */
  const STARTS = [
    { what: "down altogether", running: 0, count: 1, reason: "0 of 1 masters answer" },
    { what: "without a majority", running: 1, count: 3, reason: "1 of 3 masters answers" },
  ];

  /** Starts the command. Disposing the result ends it by Ctrl-C, also if the test fails. */
  function startWatch(addresses: readonly string[], { columns, words }: OutputCase) {
    const env = new MemoryCliEnv({ variables: { ASHLAR_CLUSTER: addresses.join(",") }, columns });
    const ended = main(["status", "--watch", ...words], env);
    const end = async (): Promise<number> => {
      env.signals.emit("SIGINT");
      return await ended;
    };
    return { env, end, [Symbol.asyncDispose]: async () => void (await end()) };
  }

  for (const { what, running, count, reason } of STARTS) {
    it(`shows one that is ${what} at the start, until it is back`, async () => {
      await using closers = new Closers();
      const addresses = await freeAddresses(0, count);
      const start = (position: number) =>
        startRealMaster(OPTIONS, { addresses, position, closers });
      for (let position = 0; position < running; position += 1) await start(position);
      const watches = OUTPUTS.map((each) => closers.use(startWatch(addresses, each)));
      const shows = (text: string) => watches.every(({ env }) => env.stdout.text().includes(text));
      await eventually("the state is shown", () => shows(`no majority: ${reason}`));
      await eventually("each address is shown", () => addresses.every(shows));
      // A new cluster is founded by all its masters.
      await Promise.all(addresses.slice(running).map((_, index) => start(running + index)));
      await eventually("the cluster is shown", () => shows(CLUSTER_ID.slice(0, 8)));
      for (const [index, { env, end }] of watches.entries()) {
        assert.equal(await end(), 130, env.stderr.text());
        if (OUTPUTS[index]?.columns !== undefined) continue;
        const text = env.stdout.text();
        assert.equal(text.split(`no majority: ${reason}`).length, 2, `once: ${text}`);
        assert.equal(env.stderr.text(), "");
      }
    });
  }

  it("shows a cluster that loses its majority later, with each master", async () => {
    await using closers = new Closers();
    const addresses = await freeAddresses(0, 2);
    const masters = await Promise.all(
      addresses.map((_, position) => startRealMaster(OPTIONS, { addresses, position, closers })),
    );
    const { env, end } = closers.use(startWatch(addresses, PIPE));
    await eventually("the cluster is shown", () => env.stdout.text().includes("leader"));
    await masters[1]?.stop();
    await eventually("the loss is shown", () => {
      return env.stdout.text().includes("no majority: 1 of 2 masters answers");
    });
    assert.equal(await end(), 130, env.stderr.text());
  });

  it("ends for an error that time does not repair", async () => {
    const { status, stderr } = await runCli(["status", "--watch", "--cluster", "/no/such/cluster"]);
    assert.notEqual(status, 130);
    assert.match(stderr, /^ashlar: Cannot /);
  });
});

describe("a call without an answer", () => {
  const ANSWER = { memberId: 1, role: "follower", term: 3, diskFull: null };
  const probed = summaryOf([
    { address: "a:1", isVoter: true, answer: ANSWER, problem: null, ...ANSWERED },
    { address: "b:1", isVoter: true, answer: ANSWER, problem: null, ...ANSWERED },
    { address: "c:1", isVoter: true, answer: null, problem: "refused", ...REFUSED },
    { address: "d:1", isVoter: false, answer: null, problem: "refused", ...REFUSED },
  ]);
  const CASES = [
    { name: "a terminal", columns: 120, options: {}, isShown: true },
    { name: "--quiet", columns: 120, options: { quiet: true }, isShown: false },
    { name: "--json", columns: 120, options: { json: true }, isShown: false },
    { name: "no terminal", columns: undefined, options: {}, isShown: false },
  ];
  const DEFAULTS = { json: false, quiet: false, verbosity: 0, color: "auto", progress: "auto" };

  it("is named within 2 s on a terminal only, and the line is cleared", async () => {
    const clock = new SystemClock();
    await Promise.all(
      CASES.map(async ({ name, columns, options, isShown }) => {
        const env = new MemoryCliEnv({ columns });
        const output = new Output(env, { ...DEFAULTS, ...options } as OutputOptions);
        using waits = new WaitLine({ output, idle: "working" });
        using watch = new MastersWatch({
          cluster: { directory: null, origin: "--cluster" },
          probe: () => Promise.resolve(probed),
          fail: (error) => assert.fail(error),
        });
        waits.addSource(() => watch.waitText());
        const ended = watch.begin("namespace.list");
        await clock.sleep(REPORT_MS + TICK_SLACK_MS);
        const shown = env.stderr.text();
        assert.equal(
          /is waiting for the masters for 2 s: 2 of 3 and 0 of 1 learner answer, no leader yet/.test(
            shown,
          ),
          isShown,
          `${name}: ${shown}`,
        );
        if (!isShown) assert.equal(shown, "", name);
        ended(true);
        waits[Symbol.dispose]();
        if (isShown) assert.ok(env.stderr.text().endsWith("\r\x1b[K"), name);
      }),
    );
  });

  it("is shortened to the width of the terminal", () => {
    const env = new MemoryCliEnv({ columns: 20 });
    const line = new StatusLine(env);
    line.show("a text that is longer than the terminal is wide");
    assert.equal(env.stderr.text(), "\r\x1b[Ka text that is lon…");
  });
});
