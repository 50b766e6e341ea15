import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { randomBytes } from "../sample-tree.ts";
import type { MixedCluster, Version } from "./mixed-cluster.ts";

const KIB = 1024;
const MIB = KIB * KIB;
/** Files of a round, by name: empty, inline, in a packed extent, of one chunk and of three chunks. */
const SIZES = { empty: 0, inline: KIB, packed: 200 * KIB, chunk: MIB, chunks: 2 * MIB + 7 };
const TOP = "/mixed";
/** The writer and the reader of each turn. */
const ORDERS = [
  ["old", "new"],
  ["new", "old"],
] as const;

/**
 * Writes, reads, lists, renames and removes files with the clients of both versions: each reads what the other has
 * written. Keeps the files of all rounds, and reads them again.
 */
export class Exercise {
  readonly #cluster: MixedCluster;
  readonly #work: string;
  /** Content of the files that are kept, by path below TOP. */
  readonly #kept = new Map<string, Uint8Array>();
  #round = 0;

  /** @param work an existing directory for local files */
  constructor(cluster: MixedCluster, work: string) {
    this.#cluster = cluster;
    this.#work = work;
  }

  /** Each client writes files, and the other reads all. @throws {Error} with what is wrong */
  async transfer(): Promise<void> {
    if (this.#round === 0) await this.#cluster.succeed("old", "mkdir", TOP);
    this.#round += 1;
    for (const [writer, reader] of ORDERS) {
      await this.#put(writer);
      await this.readAll(reader);
    }
  }

  /** As `transfer`, and changes names with both clients, each what the other has made. */
  async run(): Promise<void> {
    await this.transfer();
    for (const [writer, reader] of ORDERS) await this.#changeNames(writer, reader);
  }

  async #put(writer: Version): Promise<void> {
    const name = this.#nameOf(writer);
    const source = join(this.#work, name);
    await mkdir(source);
    for (const [index, [file, sizeBytes]] of Object.entries(SIZES).entries()) {
      const seed = this.#round * 100 + index * 2 + (writer === "old" ? 0 : 1);
      const content = randomBytes(sizeBytes, seed);
      await writeFile(join(source, file), content);
      this.#kept.set(`${name}/${file}`, content);
    }
    await this.#cluster.succeed(writer, "put", "-r", "--chunk-size", "1MiB", source, `${TOP}/`);
  }

  async #changeNames(writer: Version, reader: Version): Promise<void> {
    const cluster = this.#cluster;
    const name = this.#nameOf(writer);
    const directory = `${TOP}/${name}`;
    await cluster.succeed(reader, "mv", `${directory}/packed`, `${directory}/moved`);
    await cluster.succeed(writer, "rm", `${directory}/moved`);
    await cluster.refuse(reader, /no such file|to be there/i, "cat", `${directory}/moved`);
    await cluster.succeed(writer, "cp", `${directory}/chunks`, `${directory}/copy`);
    this.#kept.set(`${name}/copy`, this.#kept.get(`${name}/chunks`) as Uint8Array);
    this.#kept.delete(`${name}/packed`);
    await this.#restore(writer, reader, `${directory}/moved`);
    await this.#list(reader, directory, ["empty", "inline", "chunk", "chunks", "copy"]);
  }

  #nameOf(writer: Version): string {
    return `round-${this.#round}-${writer}`;
  }

  /** Restores a removed file with one client, and removes it with the other. */
  async #restore(writer: Version, reader: Version, path: string): Promise<void> {
    const history = await this.#cluster.succeed(reader, "history", "--json", path);
    const lines = history.trim().split("\n");
    const versions = lines.map((line) => JSON.parse(line) as { index: number; change: string });
    const created = versions.find(({ change }) => change === "moved-here" || change === "created");
    if (created === undefined)
      throw new Error(`history ${path} of the ${reader} version: ${history}`);
    await this.#cluster.succeed(writer, "restore", "--at", String(created.index), path);
    await this.#cluster.succeed(reader, "rm", path);
  }

  async #list(version: Version, directory: string, names: readonly string[]): Promise<void> {
    const listed = (await this.#cluster.succeed(version, "ls", directory)).trim().split(/\s+/);
    if (listed.sort().join(" ") === [...names].sort().join(" ")) return;
    throw new Error(`ls ${directory} of the ${version} version: ${listed.join(" ")}`);
  }

  /** Reads all kept files with one client, compares them, and lets it verify every replica. */
  async readAll(version: Version): Promise<void> {
    const target = join(this.#work, "target");
    await mkdir(target);
    await this.#cluster.succeed(version, "get", "-r", TOP, `${target}/`);
    for (const [path, content] of this.#kept) {
      const read = await readFile(join(target, TOP, path));
      if (Buffer.compare(read, content) === 0) continue;
      throw new Error(`get ${TOP}/${path} of the ${version} version: the content differs`);
    }
    await rm(target, { recursive: true });
    await this.#cluster.succeed(version, "verify", TOP);
  }
}
