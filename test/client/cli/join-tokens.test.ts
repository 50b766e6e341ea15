import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { jsonLines, runCli } from "../../support/memory-cli-env.ts";
import { LoopbackCluster } from "../support/loopback-cluster.ts";

async function startCluster() {
  const cluster = await LoopbackCluster.start(1, { defaultCopies: 1, defaultCopiesMin: 1 });
  const variables = { ASHLAR_CLUSTER: cluster.masterAddresses.join(",") };
  const run = (...words: string[]) => runCli(words, { variables });
  return { cluster, run };
}

describe("ashlar server token", () => {
  it("makes tokens, lists their ids and revokes them", async () => {
    const { cluster, run } = await startCluster();
    await using _cluster = cluster;
    assert.equal((await run("server", "token", "revoke", "--all")).status, 0);
    assert.match((await run("server", "token", "list")).stderr, /no valid join tokens/);
    const made = jsonLines((await run("server", "token", "--json")).stdout)[0];
    const id = String(made?.["id"]);
    assert.match(id, /^[0-9a-f]{10}$/);
    assert.ok(!String(made?.["token"]).includes(id), "the id is no part of the secret");
    const other = await run("server", "token", "create", "--valid", "2h");
    const [, otherId = ""] = /revoke ([0-9a-f]{10})/.exec(other.stderr) ?? [];
    assert.equal((await run("server", "token", "list", "-q")).stdout, `${id}\n${otherId}\n`);
    assert.match((await run("server", "token", "list")).stdout, /^ID +EXPIRES \(UTC\)\n/);
    const revoked = await run("server", "token", "revoke", id);
    assert.deepEqual([revoked.status, revoked.stderr], [0, "revoked 1 join token\n"]);
    const listed = jsonLines((await run("server", "token", "list", "--json")).stdout);
    assert.deepEqual(
      listed.map((line) => line["id"]),
      [otherId],
    );
    const again = await run("server", "token", "revoke", id, otherId);
    assert.equal(again.status, 3);
    assert.match(again.stderr, new RegExp(`No such join token: ${id}`));
    assert.equal((await run("server", "token", "list", "-q")).stdout, `${otherId}\n`);
    await run("server", "token", "revoke", "--all");
    assert.equal((await run("server", "token", "list", "-q")).stdout, "");
  });

  it("refuses unknown actions, ids and options of other actions, and a validity above the maximum", async () => {
    const { cluster, run } = await startCluster();
    await using _cluster = cluster;
    const refused = async (expected: RegExp, ...words: string[]): Promise<void> => {
      const { status, stdout, stderr } = await run("server", ...words);
      assert.deepEqual([status, stdout], [2, ""], words.join(" "));
      assert.match(stderr, expected);
    };
    await refused(
      /Cannot run "server token": expected one of create, list, revoke: current value is "delete"/,
      "token",
      "delete",
    );
    await refused(/expected no ids/, "token", "list", "0a1b2c3d4e");
    await refused(/either ids or --all: current value is neither/, "token", "revoke");
    await refused(/current value is --all 0a1b2c3d4e/, "token", "revoke", "--all", "0a1b2c3d4e");
    await refused(/from 1ms to 30d: current value is 31d/, "token", "--valid", "31d");
    const before = (await run("server", "token", "list", "-q")).stdout;
    await refused(
      /Cannot use --all with "server token create": expected the action revoke/,
      "token",
      "--all",
    );
    await refused(/--valid with "server token list"/, "token", "list", "--valid", "1h");
    const revoke = ["token", "revoke", "--all", "--valid", "2h"];
    await refused(/--valid with "server token revoke": expected the action create/, ...revoke);
    const after = (await run("server", "token", "list", "-q")).stdout;
    assert.equal(after, before, "no token was made or revoked");
    await refused(
      /Cannot use --rotate with "server enrolment status": expected the action close/,
      "enrolment",
      "--rotate",
      "1",
    );
    await refused(/--force with "server enrolment open"/, "enrolment", "open", "-f");
    await refused(
      /Cannot run "server enrolment": expected one of status, open, close: current value/,
      "enrolment",
      "opne",
    );
  });
});

describe("ashlar server enrolment", () => {
  it("prints one word with --quiet, and says when closing did not rotate the key", async () => {
    const { cluster, run } = await startCluster();
    await using _cluster = cluster;
    assert.equal((await run("server", "enrolment", "-q")).stdout, "closed\n");
    const closed = await run("server", "enrolment", "close");
    assert.match(closed.stdout, /chunk key: version 1\n/);
    assert.match(closed.stderr, /the key was not rotated; to rotate it, use close --rotate 1\n/);
    const rotated = await run("server", "enrolment", "close", "--rotate", "1");
    assert.match(rotated.stdout, /chunk key: version 2/);
    assert.equal(rotated.stderr, "");
    assert.equal((await run("server", "enrolment", "open", "-q")).stdout, "open\n");
  });

  it("rotates the key once if two operators have seen the same version", async () => {
    const { cluster, run } = await startCluster();
    await using _cluster = cluster;
    const rotate = () => run("server", "enrolment", "close", "--rotate", "1");
    const results = await Promise.all([rotate(), rotate()]);
    const refused = results.filter(({ status }) => status !== 0);
    assert.equal(refused.length, 1);
    assert.match(refused[0]?.stderr ?? "", /expected version 1: current version is 2/);
    assert.match((await run("server", "enrolment")).stdout, /chunk key: version 2;/);
  });
});
