import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { describe, it } from "node:test";
import { stripVTControlCharacters } from "node:util";
import { olderMasterNotes } from "../../../client/cli/commands/cluster-finalize-upgrade.ts";
import { exportLine, sizeNotes } from "../../../client/cli/commands/cluster-up.ts";
import { main } from "../../../client/cli/main.ts";
import type { MemberId } from "../../../shared/base/ids.ts";
import { CAPABILITIES } from "../../../shared/protocol/capabilities.ts";
import { jsonLines, MemoryCliEnv, runCli } from "../../support/memory-cli-env.ts";
import { eventually, LoopbackCluster } from "../support/loopback-cluster.ts";

/** Starts a cluster of one chunkserver with a file of one chunk and a file that the masters hold. */
async function startCluster() {
  const cluster = await LoopbackCluster.start(1, { defaultCopies: 1, defaultCopiesMin: 1 });
  const fs = await cluster.connect();
  await fs.writeFile("/large", Buffer.alloc(8_000, 1));
  await fs.writeFile("/small", "text");
  const variables = { ASHLAR_CLUSTER: cluster.masterAddresses.join(",") };
  const run = async (columns: number | undefined, ...words: string[]) => {
    const { status, stdout, stderr } = await runCli(words, { variables, columns });
    return { status, stderr, stdout: stripVTControlCharacters(stdout) };
  };
  return { cluster, variables, run };
}

describe("commands that show a cluster", () => {
  it("print sizes for people on a terminal, and exact ones in a pipe and with --json", async () => {
    const { cluster, run } = await startCluster();
    await using _cluster = cluster;
    assert.match((await run(100, "du", "/")).stdout, /^ +SIZE +WITH COPIES {2}PATH\n +7\.82 KiB/);
    assert.match((await run(undefined, "du", "/")).stdout, /^ +8004 +8004 {2}\/\n$/);
    assert.match((await run(100, "df")).stdout, /size of all files: 7\.82 KiB, without/);
    assert.match((await run(undefined, "df")).stdout, /size of all files: 8004 bytes, without/);
    assert.match((await run(100, "df")).stdout, /space for new files: .* with 1 copy of each/);
    const total = jsonLines((await run(undefined, "df", "--json")).stdout).at(-1);
    assert.equal(total?.["usable_bytes"], total?.["available_bytes"]);
    assert.match((await run(100, "history", "/large")).stdout, /TIME \(UTC\)[\s\S]*7\.81 KiB/);
    assert.match((await run(undefined, "history", "/large")).stdout, / 8000 /);
    for (const words of [["status"], ["df"], ["history", "/large"], ["master", "status"]]) {
      const { stdout } = await run(60, ...words);
      const table = stdout.split("\n").filter((line) => / {2}/.test(line.trim()));
      for (const line of table) assert.ok(line.length <= 60, `${words.join(" ")}: ${line}`);
    }
    const verified = await run(undefined, "verify", "/");
    assert.match(verified.stderr, /verified 2 files, 1 chunk, 7\.82 KiB/);
    assert.match((await run(100, "status")).stdout, /2 files, .*1 chunk .*, 7\.82 KiB/);
  });

  it("print a line for each change with `status --watch --json` until Ctrl-C", async () => {
    const { cluster, variables } = await startCluster();
    await using _cluster = cluster;
    const env = new MemoryCliEnv({ variables });
    const watching = main(["status", "--watch", "--json"], env);
    const lines = () => jsonLines(env.stdout.text());
    await eventually("the first line", () => lines().length === 1);
    await cluster.servers[0]?.stop();
    await eventually("a line after the change", () => lines().length === 2);
    env.signals.emit("SIGINT");
    assert.equal(await watching, 130);
    const words = lines().map((line) => (line["health"] as { readonly word: string }).word);
    assert.deepEqual(words, ["ok", "critical"]);
    assert.equal(env.stderr.text(), "");
  });

  it("show a feature level that can rise, of which a new cluster has the highest, and capabilities", async () => {
    const { cluster, run } = await startCluster();
    await using _cluster = cluster;
    const { stdout } = await run(undefined, "status", "--json");
    const level = jsonLines(stdout)[0]?.["feature_level"] as Record<string, number>;
    assert.equal(level["current"], level["supported"]);
    const servers = jsonLines(stdout)[0]?.["chunkservers"] as Record<string, unknown>[];
    assert.deepEqual(
      servers.map((server) => server["capabilities"]),
      [[...CAPABILITIES].sort()],
      "each chunkserver states what it can do",
    );
    assert.doesNotMatch((await run(100, "status")).stdout, /upgrade/);
    const again = await run(100, "cluster", "finalize-upgrade");
    assert.equal(again.status, 0);
    assert.match(again.stderr, /nothing to do: the cluster is at feature level \d+/);
  });

  it("set the time of the cluster, which the status compares with the clocks", async () => {
    const { cluster, run } = await startCluster();
    await using _cluster = cluster;
    const { stdout } = await run(undefined, "status", "--json");
    const [status] = jsonLines(stdout);
    const [master] = (status?.["masters"] ?? []) as Record<string, unknown>[];
    assert.ok(Math.abs(master?.["clock_ahead_ms"] as number) < 1_000);
    const reset = await run(undefined, "cluster", "reset-clock", "--yes", "--json");
    assert.equal(reset.status, 0, reset.stderr);
    const [times] = jsonLines(reset.stdout) as Record<string, number>[];
    assert.ok(Math.abs((times?.["to_ms"] ?? 0) - (times?.["from_ms"] ?? 0)) < 60_000);
    assert.match(
      (await run(100, "cluster", "reset-clock", "-y")).stderr,
      /the time of the cluster is 20.*; before, it was 20/,
    );
  });

  it("redraw a terminal with `status --watch`", async () => {
    const { cluster, variables } = await startCluster();
    await using _cluster = cluster;
    const env = new MemoryCliEnv({ variables, columns: 100 });
    const watching = main(["status", "--watch"], env);
    const draws = () => env.stdout.text().split("\u001b[H\u001b[J").length - 1;
    await eventually("two draws", () => draws() === 2);
    assert.equal(env.stderr.text(), "", "the time until the next draw is no wait");
    env.signals.emit("SIGINT");
    assert.equal(await watching, 130);
  });
});

describe("`cluster up`", () => {
  const nodes = ["m1", "c1", "c2", "c3", "c4"].map((name, index) => ({
    name,
    role: name.startsWith("m") ? ("master" as const) : ("chunkserver" as const),
    address: `127.0.0.1:${index}`,
    http: `127.0.0.1:${100 + index}`,
  }));
  const cluster = { nodes, directory: "/tmp/my cluster" };
  const CASES = [
    { options: {}, notes: [] },
    { options: { chunkservers: 4, masters: 1 }, notes: [] },
    {
      options: { chunkservers: 6 },
      notes: [
        "--chunkservers 6 has no effect: the cluster has 4 chunkservers already. To add one: " +
          "ashlar cluster add --dir '/tmp/my cluster' chunkserver",
      ],
    },
    {
      options: { masters: 3 },
      notes: [
        "--masters 3 has no effect: the cluster has 1 master already. To add one: " +
          "ashlar cluster add --dir '/tmp/my cluster' master",
      ],
    },
  ];
  for (const { options, notes } of CASES) {
    it(`says what it does not do: ${JSON.stringify(options)}`, () => {
      assert.deepEqual(sizeNotes(cluster, options), notes);
    });
  }

  for (const port of ["70000", "-1", "x", "65530"]) {
    it(`names the flag of the port ${port}`, async () => {
      const words = ["cluster", "up", "--dir", "/nonexistent/cluster", `--base-port=${port}`];
      const { status, stderr } = await runCli(words);
      assert.equal(status, 2, stderr);
      assert.match(stderr, /Cannot use --base-port: expected .*current value is "/);
    });
  }

  it("refuses every number of masters but 1, 3 and 5, before it makes anything", async () => {
    for (const count of ["0", "2", "4", "6", "7", "-1", "1.5", "03", "three", ""]) {
      // The directory cannot be made.
      const words = ["cluster", "up", "--dir", "/dev/null/cluster", `--masters=${count}`];
      const { status, stderr } = await runCli(words);
      assert.equal(status, 2, `${count}: ${stderr}`);
      assert.ok(stderr.includes("Cannot use --masters: expected 1, 3 or 5: current"), stderr);
    }
  });

  it("prints a line that sets ASHLAR_CLUSTER in a shell, for any name of the directory", () => {
    for (const directory of [
      "/tmp/c",
      "/my cluster",
      "/it's",
      "/$(exit 9)`exit 9`",
      '/"; exit 9 #',
    ]) {
      const script = `${exportLine(directory)}; printf %s "$ASHLAR_CLUSTER"`;
      assert.equal(execFileSync("sh", ["-c", script], { encoding: "utf8" }), directory);
    }
  });

  it("shows the default of --wait as a duration", async () => {
    const { stdout } = await runCli(["cluster", "up", "--help"]);
    assert.match(stdout, /--wait <duration> +fail after this time \(default:\s+30s\)/);
    assert.match(stdout, /chunkservers of a new cluster \(default:\s+4\)/);
  });

  it("explains the words of the tables in `help terms`", async () => {
    const { stdout } = await runCli(["help", "terms"]);
    for (const word of ["INDEX", "ROOT", "TERM", "old versions", "(UTC)"]) {
      assert.ok(stdout.includes(word), word);
    }
  });
});

describe("ashlar cluster finalize-upgrade", () => {
  it("names the masters of an older version and says how to proceed", () => {
    assert.deepEqual(olderMasterNotes([]), []);
    const older = { id: 3 as MemberId, address: "m3:7000", featureLevelMax: 1 };
    assert.deepEqual(olderMasterNotes([older]), [
      "master 3 (m3:7000) runs an older version, which supports feature level 1",
      "start the new version on these masters, then repeat the command",
    ]);
  });
});
