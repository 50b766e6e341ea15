import assert from "node:assert/strict";
import {
  lstat,
  mkdir,
  readdir,
  readFile,
  readlink,
  rm,
  symlink,
  writeFile,
} from "node:fs/promises";
import type { FileSystem } from "../../../client/file-system.ts";
import { jsonLines } from "../../support/memory-cli-env.ts";
import type { CliCluster } from "./cli-cluster.ts";
import { setTime, timeOf } from "./local-times.ts";

/**
 * A tree as a table: relative paths, one UTF-16 code unit for each byte, and what they are. A
 * directory ends with a slash and is "". "link: a" is a symbolic link, local trees only. "text @ms" is
 * a file with a time of modification; without "@ms" the time is `TIME_MS`.
 */
export type TreeTable = Readonly<Record<string, string>>;

/** The time of files in a table without a time of their own. */
const TIME_MS = 1_700_000_000_000;

interface ParsedFile {
  readonly content: Buffer;
  readonly mtimeMs: number;
}

function parseFile(text: string): ParsedFile {
  const [, content = text, time] = /^(.*) @(-?\d+)$/s.exec(text) ?? [];
  return { content: Buffer.from(content), mtimeMs: time === undefined ? TIME_MS : Number(time) };
}

const bytes = (path: string): Buffer => Buffer.from(path, "latin1");

/** Makes a local directory with these entries. Earlier entries are removed. */
export async function makeLocalTree(root: string, table: TreeTable): Promise<void> {
  await rm(root, { recursive: true, force: true });
  await mkdir(root, { recursive: true });
  for (const [relative, text] of Object.entries(table)) {
    const path = bytes(`${root}/${relative}`);
    await mkdir(path.subarray(0, path.lastIndexOf(0x2f)), { recursive: true });
    if (relative.endsWith("/")) continue;
    const [, target] = /^link: (.*)$/.exec(text) ?? [];
    if (target !== undefined) {
      await symlink(target, path);
      continue;
    }
    const { content, mtimeMs } = parseFile(text);
    await writeFile(path, content);
    await setTime(path, mtimeMs);
  }
}

/** Makes a directory in the cluster with these entries. Earlier entries are removed. */
export async function makeClusterTree(
  fs: FileSystem,
  root: string,
  table: TreeTable,
): Promise<void> {
  if (await fs.exists(root)) await fs.removeTree(root);
  await fs.mkdir(root, { parents: true });
  for (const [relative, text] of Object.entries(table)) {
    const path = bytes(`${root}/${relative}`);
    await fs.mkdir(path.subarray(0, path.lastIndexOf(0x2f)), { parents: true });
    if (relative.endsWith("/")) continue;
    const { content, mtimeMs } = parseFile(text);
    await fs.writeFile(path, content, { mtimeMs });
  }
}

/** Returns the table of a local tree. */
export async function readLocalTree(root: string): Promise<TreeTable> {
  const table: Record<string, string> = {};
  const visit = async (directory: Buffer, prefix: string): Promise<void> => {
    for (const name of await readdir(directory, { encoding: "buffer" })) {
      const path = Buffer.concat([directory, Buffer.from("/"), name]);
      const relative = `${prefix}${name.toString("latin1")}`;
      const stats = await lstat(path, { bigint: true });
      if (stats.isDirectory()) {
        table[`${relative}/`] = "";
        await visit(path, `${relative}/`);
      } else if (stats.isSymbolicLink()) table[relative] = `link: ${await readlink(path)}`;
      else if (!stats.isFile()) table[relative] = "special";
      else table[relative] = textOf(await readFile(path), timeOf(stats));
    }
  };
  await visit(bytes(root), "");
  return sorted(table);
}

/** As `readLocalTree` for a directory in the cluster. */
export async function readClusterTree(fs: FileSystem, root: string): Promise<TreeTable> {
  const table: Record<string, string> = {};
  for await (const { pathBytes, attributes } of fs.walk(root)) {
    const relative = Buffer.from(pathBytes)
      .subarray(root.length + 1)
      .toString("latin1");
    if (attributes.kind === "directory") table[`${relative}/`] = "";
    else {
      const content = Buffer.from(await fs.readFile(pathBytes));
      table[relative] = textOf(content, Math.floor(attributes.mtimeMs));
    }
  }
  return sorted(table);
}

function textOf(content: Buffer, mtimeMs: number): string {
  return mtimeMs !== TIME_MS ? `${content} @${mtimeMs}` : `${content}`;
}

/** Returns the table in one order, with the directories that only contain other entries. */
export function sorted(table: TreeTable): TreeTable {
  const all: Record<string, string> = { ...table };
  for (const path of Object.keys(table)) {
    for (let end = path.indexOf("/"); end >= 0; end = path.indexOf("/", end + 1)) {
      all[path.slice(0, end + 1)] = "";
    }
  }
  return Object.fromEntries(Object.entries(all).sort(([left], [right]) => (left < right ? -1 : 1)));
}

/** A side of a sync: how its tree is made and read and its argument. */
export interface TestSide {
  readonly argument: string;
  make(table: TreeTable): Promise<void>;
  read(): Promise<TreeTable>;
}

/** Returns a side with a directory of its own, which does not exist yet. */
export function sideOf(cluster: CliCluster, name: string, isLocal: boolean): TestSide {
  const { fs, work } = cluster;
  const [local, remote] = [`${work}/${name}`, `/${name}`];
  return isLocal
    ? {
        argument: name,
        make: (table) => makeLocalTree(local, table),
        read: () => readLocalTree(local),
      }
    : {
        argument: `ashlar:${remote}`,
        make: (table) => makeClusterTree(fs, remote, table),
        read: () => readClusterTree(fs, remote),
      };
}

/** Runs a sync with --json. @returns its status, its actions and its summary without zeros */
export async function runSync(cluster: CliCluster, ...line: string[]) {
  const { status, stdout, stderr } = await cluster.run(["sync", "--json", ...line]);
  const objects = jsonLines(stdout);
  const { schema, size_bytes: _, ...counts } = objects.pop() ?? {};
  assert.equal(schema, status === 2 ? undefined : "ashlar.sync-summary/1", stderr);
  const found = Object.entries(counts).filter(([, value]) => value !== 0);
  const actions = objects.map(({ action, path }) => `${action} ${path}`).sort();
  return { status, stderr, actions, summary: Object.fromEntries(found) };
}
