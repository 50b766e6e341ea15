import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { stripVTControlCharacters } from "node:util";
import { spaceOf } from "../../../client/cli/cluster-space.ts";
import { NodeNames } from "../../../client/cli/node-names.ts";
import { Output, type OutputOptions } from "../../../client/cli/output.ts";
import { describeStatus } from "../../../client/cli/status-view.ts";
import { formatTable } from "../../../client/cli/table-view.ts";
import type { ServerId } from "../../../shared/base/ids.ts";
import { status as method } from "../../../shared/protocol/fleet-api.ts";
import { serverLabel } from "../../../shared/protocol/intent.ts";
import { MemoryCliEnv } from "../../support/memory-cli-env.ts";

const GIB = 2 ** 30;
const WIDTHS = [60, 100, 200];

function serverOf(number: number, changes: Record<string, unknown> = {}) {
  return {
    serverId: `${number}a2b3c4d`.padEnd(32, "0"),
    address: `192.168.100.10${number}:17410`,
    host: "one",
    rack: "rack-with-a-name",
    state: "live",
    isDiskFailed: false,
    space: { totalBytes: 100 * GIB, availableBytes: 40 * GIB, usedBytes: GIB, diskId: "8" },
    chunkCount: 123_456,
    lastHeardMsAgo: 400,
    ...changes,
  };
}

const DEAD = serverOf(3, { state: "dead", lastHeardMsAgo: 32_000 });
const SERVERS = [serverOf(1), serverOf(2), DEAD, serverOf(4, { state: "suspect" })];
const MASTERS = [1, 2, 3].map((memberId) => ({
  memberId,
  address: `192.168.100.20${memberId}:17400`,
  role: ["leader", "follower", "unreachable"][memberId - 1],
  term: 12,
  lastIndex: 12_345_678,
  committedIndex: 12_345_678,
  appliedIndex: 12_345_678,
}));

function statusOf(changes: Record<string, unknown> = {}) {
  const label = serverLabel({ ...DEAD, serverId: DEAD.serverId as ServerId });
  return method.parseResponse({
    clusterId: "c".repeat(32),
    index: 1,
    masters: MASTERS,
    chunkservers: SERVERS,
    health: { word: "degraded", reasons: [`all chunks have their copies; ${label} is down`] },
    defaultCopies: 2,
    namespace: {
      fileCount: 3,
      directoryCount: 1,
      chunkCount: 2,
      logicalBytes: GIB / 2,
      chunksUnderReplicated: 0,
      chunksLost: 0,
      purgesPending: 0,
    },
    history: {
      versions: 2,
      versionsMax: 1_000,
      retentionMs: 86_400_000,
      oldestIndex: 1,
      oldestTimeMs: 0,
    },
    ...changes,
  });
}

const NAMES = new NodeNames(
  new Map([
    ...MASTERS.map(({ address, memberId }) => [address, `m${memberId}`] as const),
    ...SERVERS.map(({ address }, index) => [address, `c${index + 1}`] as const),
  ]),
);
const NO_NAMES = new NodeNames(new Map());
const OPTIONS: OutputOptions = {
  json: false,
  quiet: false,
  verbosity: 0,
  color: "auto",
  progress: "never",
  onClosed: "stop",
};

function shown(names: NodeNames, columns: number | undefined, changes = {}): string {
  const output = new Output(new MemoryCliEnv({ columns }), OPTIONS);
  return describeStatus(statusOf(changes), { output, names, isHuman: output.isTerminal });
}

/** Returns the lines of the tables: those after the first blank line and before the last. */
function tableLines(text: string): string[] {
  return stripVTControlCharacters(text).split("\n\n").slice(1, 3).join("\n").split("\n");
}

describe("status on a terminal", () => {
  it("has a line as long as an upgrade is not finished", () => {
    const levels = (current: number) => ({ featureLevel: { current, supported: 9 } });
    assert.match(shown(NAMES, 100, levels(8)), /feature level 8, .* 9; .*finalize-upgrade/);
    assert.doesNotMatch(shown(NAMES, 100, levels(9)), /upgrade/);
    assert.doesNotMatch(shown(NAMES, 100), /upgrade/);
  });

  it("shows a chunkserver that is refused as refused", () => {
    const chunkservers = [serverOf(1), serverOf(2, { state: "dead", isRefused: true })];
    const lines = tableLines(shown(NAMES, 100, { chunkservers }));
    assert.deepEqual(
      ["live", "refused", "dead"].map((word) => lines.filter((line) => line.includes(word)).length),
      [1, 1, 0],
    );
  });

  const KINDS = [
    { kind: "node names", names: NAMES, rowNames: ["m1", "c3"] },
    { kind: "a list of masters", names: NO_NAMES, rowNames: ["3a2b3c4d"] },
  ];
  const CASES = WIDTHS.flatMap((width) => KINDS.map((each) => ({ ...each, width })));
  for (const { width, kind, names, rowNames } of CASES) {
    it(`fits in ${width} columns with ${kind}, and keeps names, states and sizes`, () => {
      const lines = tableLines(shown(names, width));
      for (const line of lines) assert.ok(line.length <= width, `${line.length}: ${line}`);
      const words = lines.join(" ").split(/\s+/);
      const addresses = MASTERS.map(({ address }) => address);
      for (const word of ["dead", "suspect", "unreachable", "GiB", ...rowNames, ...addresses]) {
        assert.ok(words.includes(word), `${word} in ${lines.join("\n")}`);
      }
      assert.equal(words.includes("COMMITTED"), width > 60);
    });
  }

  it("has a colour for dead, silent and unreachable rows, which the words also name", () => {
    const lines = shown(NAMES, 200).split("\n");
    const codesOf = (word: string): string =>
      JSON.stringify(lines.find((line) => line.includes(word) && line.includes("192.168")) ?? "");
    assert.match(codesOf("dead"), /\\u001b\[31m/);
    assert.match(codesOf("unreachable"), /\\u001b\[31m/);
    assert.match(codesOf("suspect"), /\\u001b\[33m/);
    assert.doesNotMatch(codesOf("live"), /u001b/);
    assert.ok(!shown(NAMES, undefined).includes("\u001b"));
  });

  it("has the nodes in the order of their names, and servers without a name at the end", () => {
    const order = ["m3", "m1", "c4", "c2", "c3"];
    const address = (name: string): string =>
      `192.168.100.${name.startsWith("m") ? 20 : 10}${name.slice(1)}:17${name.startsWith("m") ? 400 : 410}`;
    const names = new NodeNames(new Map(order.map((name) => [address(name), name])));
    const rows = tableLines(shown(names, 200)).filter((line) => /^(?:[mc]\d|-) /.test(line));
    const nodes = rows.map((line) => line.slice(0, 2).trim());
    assert.deepEqual(nodes, ["m3", "m1", "-", "c4", "c2", "c3", "-"]);
  });

  it("names the node in the reason, exact bytes in a pipe, and the space of the history", () => {
    assert.match(shown(NAMES, 100), /all chunks have their copies; c3 is down/);
    assert.match(
      shown(NO_NAMES, 100),
      /copies; chunkserver 3a2b3c4d \(192\.168\.100\.103:17410\) is/,
    );
    assert.match(shown(NAMES, undefined), new RegExp(` ${GIB} +${40 * GIB} `));
    assert.match(
      shown(NAMES, 100),
      /about 1 GiB of the used space belong to removed .*history trim/,
    );
    assert.match(shown(NAMES, 100), /40 GiB available; for files with 2 copies: 20 GiB/);
  });

  it("says that a new leader waits for a chunkserver, not that it is suspect", () => {
    const chunkservers = [serverOf(1, { state: "suspect", lastHeardMsAgo: null })];
    const output = new Output(new MemoryCliEnv({ columns: 100 }), OPTIONS);
    const view = { output, names: NO_NAMES, isHuman: true };
    const text = stripVTControlCharacters(describeStatus(statusOf({ chunkservers }), view));
    assert.match(text, /1a2b3c4d +waiting .* not yet/);
    assert.doesNotMatch(text, /suspect|dead/);
  });
});

describe("the space of a cluster", () => {
  const space = (diskId: string | undefined, totalBytes = 100) => ({
    space: {
      totalBytes,
      availableBytes: 40,
      usedBytes: 10,
      ...(diskId === undefined ? {} : { diskId }),
    },
  });
  const CASES = [
    { name: "one disk", servers: [serverOf(1, space("8")), serverOf(2, space("8"))], total: 100 },
    { name: "two disks", servers: [serverOf(1, space("8")), serverOf(2, space("9"))], total: 200 },
    {
      name: "two machines",
      servers: [serverOf(1, space("8")), serverOf(2, { ...space("8"), host: "two" })],
      total: 200,
    },
    {
      name: "two machines with one host name and disks of different sizes",
      servers: [serverOf(1, space("8")), serverOf(2, space("8", 150))],
      total: 250,
    },
    {
      name: "chunkservers of an old version",
      servers: [serverOf(1, space(undefined)), serverOf(2, space(undefined))],
      total: 200,
    },
    {
      name: "a dead chunkserver",
      servers: [serverOf(1, space("8")), serverOf(2, { ...space("9"), state: "dead" })],
      total: 100,
    },
  ];
  for (const { name, servers, total } of CASES) {
    it(`counts each disk once: ${name}`, () => {
      const { totalBytes } = spaceOf(statusOf({ chunkservers: servers }));
      assert.equal(totalBytes, total);
    });
  }
});

describe("a table", () => {
  const COLUMNS = [
    { heading: "NODE" },
    { heading: "SIZE", isRight: true, dropRank: 1 },
    { heading: "ADDRESS" },
  ];
  const ROWS = [["c1", "1 GiB", "192.168.100.101:17410"]];

  it("drops columns, then stacks them, and never breaks a cell", () => {
    assert.equal(
      formatTable(COLUMNS, ROWS, 80),
      "NODE   SIZE  ADDRESS\nc1    1 GiB  192.168.100.101:17410",
    );
    assert.equal(formatTable(COLUMNS, ROWS, 30), "NODE  ADDRESS\nc1    192.168.100.101:17410");
    assert.equal(
      formatTable(COLUMNS, ROWS, 20),
      "NODE     c1\nSIZE     1 GiB\nADDRESS  192.168.100.101:17410",
    );
  });
});
