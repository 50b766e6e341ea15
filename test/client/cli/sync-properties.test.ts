import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import { main } from "../../../client/cli/main.ts";
import { jsonLines, MemoryCliEnv } from "../../support/memory-cli-env.ts";
import { SeededRandom } from "../../support/seeded-random.ts";
import { CliCluster } from "../support/cli-cluster.ts";
import { sideOf, sorted, type TreeTable } from "../support/sync-trees.ts";

const ROUNDS = 8;
/** Few names, so that both trees have many in common, and some that sort around the slash. */
const NAMES = ["a", "a-", "a\x01", "b", "\xff\n", "é".repeat(9)];
/** Texts of one size and of others. */
const TEXTS = ["one", "two", "six", "", "longer"];

/** Two files of one size and time have the same content, unless `isAmbiguous`. */
function randomFile(random: SeededRandom, isAmbiguous: boolean): string {
  const text = random.integer(TEXTS.length);
  const time = isAmbiguous ? 5000 : text * 1000 - 2000 + random.integer(2);
  return `${TEXTS[text]} @${time}`;
}

function randomTree(random: SeededRandom, isAmbiguous: boolean): TreeTable {
  const table: Record<string, string> = {};
  const fill = (prefix: string, depth: number): void => {
    for (const name of NAMES) {
      const choice = random.integer(10);
      if (choice < 3) table[`${prefix}${name}`] = randomFile(random, isAmbiguous);
      if (choice < 3 || choice > 4) continue;
      table[`${prefix}${name}/`] = "";
      if (depth < 2) fill(`${prefix}${name}/`, depth + 1);
    }
  };
  fill("", 1);
  return sorted(table);
}

/**
 * Returns the target after a sync without --delete. An entry of the target that is in the way of one of
 * the source stays.
 */
function merged(source: TreeTable, target: TreeTable): TreeTable {
  const isInWay = (path: string): boolean => {
    const plain = path.replace(/\/$/, "");
    if (plain === "") return false;
    const other = path.endsWith("/") ? plain : `${plain}/`;
    return other in target || isInWay(plain.slice(0, plain.lastIndexOf("/") + 1));
  };
  const added = Object.entries(source).filter(([path]) => !isInWay(path));
  return sorted({ ...target, ...Object.fromEntries(added) });
}

let cluster: CliCluster;

before(async () => {
  cluster = await CliCluster.start();
});
after(() => cluster[Symbol.asyncDispose]());

/** Runs a sync, and interrupts it after some turns of the event loop. @returns its actions */
async function sync(line: readonly string[], turns = Number.POSITIVE_INFINITY) {
  const { variables, work: workingDirectory } = cluster;
  const env = new MemoryCliEnv({ variables, workingDirectory });
  let isDone = false;
  const running = main(["sync", "--json", ...line], env).finally(() => {
    isDone = true;
  });
  for (let count = 0; count < turns && !isDone; count += 1) await nextTurn();
  if (!isDone) env.signals.emit("SIGINT");
  const status = await running;
  const actions = jsonLines(env.stdout.text()).slice(0, -1);
  return { status, actions, stderr: env.stderr.text() };
}

/** A file of the target is that of the source or that of before, whole. */
function checkWhole(found: TreeTable, source: TreeTable, target: TreeTable): void {
  for (const [path, text] of Object.entries(found)) {
    assert.ok(text === source[path] || text === target[path], `${path}: ${text}`);
  }
}

async function round(random: SeededRandom, number: number): Promise<void> {
  const localSide = random.integer(3);
  const from = sideOf(cluster, `s${number}`, localSide === 0);
  const to = sideOf(cluster, `t${number}`, localSide === 1);
  const isDeleting = random.integer(3) > 0;
  const isChecksum = random.integer(3) === 0;
  const [source, target] = [randomTree(random, isChecksum), randomTree(random, isChecksum)];
  await from.make(source);
  await to.make(target);
  const flags = [...(isDeleting ? ["--delete", "--yes"] : []), ...(isChecksum ? ["-c"] : [])];
  const line = [...flags, from.argument, to.argument];

  const stopped = await sync(line, random.integer(120));
  assert.ok([0, 8, 130].includes(stopped.status), stopped.stderr);
  checkWhole(await to.read(), source, target);

  const expected = isDeleting ? source : merged(source, target);
  const isComplete = Object.keys(source).every((path) => path in expected);
  const { status, stderr } = await sync(line);
  assert.equal(status, isComplete ? 0 : 8, stderr);
  assert.deepEqual(await to.read(), expected);
  assert.deepEqual(await from.read(), source);
  const again = await sync(line);
  assert.deepEqual([again.status, again.actions], [status, []]);
}

describe("random trees", { concurrency: 3 }, () => {
  const first = Number(process.env["SYNC_SEED"] ?? 1);
  for (let seed = first; seed < first + ROUNDS; seed += 1) {
    it(`are equal after an interrupted and a complete sync: SYNC_SEED=${seed}`, () =>
      round(new SeededRandom(seed), seed));
  }
});
