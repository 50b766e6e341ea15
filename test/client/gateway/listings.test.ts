import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import type { FileSystem } from "../../../client/file-system.ts";
import { type Operation, targetOf } from "../../../client/index.ts";
import { LoopbackCluster } from "../support/loopback-cluster.ts";
import { type GatewayResponse, ServedGateway } from "./served-gateway.ts";

interface Page {
  readonly schema: string;
  readonly entries: ReadonlyArray<{ readonly name: string; readonly href: string }>;
  readonly next: string | null;
  readonly index: number;
  readonly entry_count: number;
}

const COUNT = 2_500;
const HTML = { headers: { accept: "text/html" } };

let cluster: LoopbackCluster;
let files: FileSystem;
let gateway: ServedGateway;

const nameOf = (index: number): string => `n${String(index).padStart(4, "0")}`;
const NAMES = Array.from({ length: COUNT }, (_, index) => nameOf(index));

async function pageAt(path: string): Promise<Page> {
  const response = await gateway.request(path, { headers: { accept: "application/json" } });
  assert.equal(response.status, 200, response.text);
  return JSON.parse(response.text);
}

/** Follows the links of a listing. Returns the names of each page. */
async function pagesFrom(path: string): Promise<string[][]> {
  const pages: string[][] = [];
  for (let next: string | null = path; next !== null; ) {
    const page: Page = await pageAt(next);
    pages.push(page.entries.map(({ name }) => name));
    next = page.next;
  }
  return pages;
}

const rowsOf = ({ text }: GatewayResponse): string[] =>
  Array.from(text.matchAll(/<tr><td><a href="[^"]*"><bdi>([^<]*)<\/bdi>/g), ([, name]) =>
    String(name),
  );

function linkOf({ text }: GatewayResponse, rel: string): string | undefined {
  return new RegExp(`<a rel="${rel}" href="([^"]*)"`).exec(text)?.[1]?.replaceAll("&amp;", "&");
}

async function createAll(directory: string, names: readonly string[]): Promise<void> {
  const operations = names.map((name): Operation => {
    const target = targetOf(`${directory}/${name}`);
    return { kind: "create", target, mode: 0o644, uid: 0, gid: 0 };
  });
  for (let first = 0; first < operations.length; first += 1_000) {
    await files.transact(operations.slice(first, first + 1_000));
  }
}

describe("listings of the gateway", () => {
  before(async () => {
    cluster = await LoopbackCluster.start(0);
    files = await cluster.connect();
    gateway = await ServedGateway.start({ sortEntriesMax: COUNT }, files);
    await files.mkdir("/many");
    await createAll("/many", NAMES);
    await files.mkdir("/few/sub", { parents: true });
    const contents: ReadonlyArray<readonly [string, string, number]> = [
      ["b", "333", 2_000],
      ["a", "1", 3_000],
      ["c", "333", 1_000],
      ["D.TXT", "55555", 2_000.5],
      ["e", "", -1],
    ];
    for (const [name, content, mtimeMs] of contents) {
      await files.writeFile(`/few/${name}`, content, { mtimeMs });
    }
    await files.setAttributes("/few/sub", { mtimeMs: 5_000 });
  });
  after(async () => {
    await gateway[Symbol.asyncDispose]();
    await cluster[Symbol.asyncDispose]();
  });

  it("have at most 1,000 entries a page and lead through all of them", async () => {
    const pages = await pagesFrom("/files/many/");
    assert.deepEqual(
      pages.map((names) => names.length),
      [1_000, 1_000, 500],
    );
    assert.deepEqual(pages.flat(), NAMES);
    assert.equal((await pageAt("/files/many/")).entry_count, COUNT);
    const lines = await gateway.request("/files/many/", {
      headers: { accept: "application/x-ndjson" },
    });
    assert.equal(lines.text.trim().split("\n").length, 1_000);
    assert.match(String(lines.headers["link"]), /^<\/files\/many\/\?cursor=[^>]*>; rel="next"$/);
    for (const query of ["?limit=0", "?limit=1001", "?limit=x", "?limit=-1", "?limit=1.5"]) {
      assert.equal((await gateway.request(`/files/many/${query}`)).status, 400, query);
    }
  });

  it("are pages of HTML with the same links", async () => {
    const names: string[] = [];
    for (let path: string | undefined = "/files/many/"; path !== undefined; ) {
      const response: GatewayResponse = await gateway.request(path, HTML);
      const rows = rowsOf(response);
      assert.ok(rows.length <= 1_000 && response.body.length < 500_000);
      names.push(...rows);
      path = linkOf(response, "next");
      if (names.length > 1_000) assert.equal(linkOf(response, "first"), "/files/many/");
    }
    assert.deepEqual(names, NAMES);
  });

  it("show one log index on all pages", async () => {
    const first = await pageAt("/files/few/?limit=2");
    await files.writeFile("/few/bb", "new");
    const rest = await pagesFrom(first.next ?? "");
    assert.deepEqual(rest.flat(), ["b", "c", "e", "sub"]);
    const sorted = await pageAt("/files/few/?limit=2&sort=size");
    await files.unlink("/few/bb");
    assert.equal((await pageAt(sorted.next ?? "")).index, sorted.index);
    const all = [
      ...sorted.entries.map(({ name }) => name),
      ...(await pagesFrom(sorted.next ?? "")).flat(),
    ];
    assert.deepEqual(all, ["D.TXT", "b", "bb", "c", "a", "e", "sub"]);
  });

  it("are sorted by name, size and time in both orders, in pages of any size", async () => {
    const cases: ReadonlyArray<readonly [string, readonly string[]]> = [
      ["", ["D.TXT", "a", "b", "c", "e", "sub"]],
      ["sort=name&order=desc", ["sub", "e", "c", "b", "a", "D.TXT"]],
      ["sort=size", ["D.TXT", "b", "c", "a", "e", "sub"]],
      ["sort=size&order=asc", ["sub", "e", "a", "b", "c", "D.TXT"]],
      ["sort=time", ["sub", "a", "D.TXT", "b", "c", "e"]],
      ["sort=time&order=asc", ["e", "c", "b", "D.TXT", "a", "sub"]],
    ];
    for (const [query, names] of cases) {
      for (const limit of [1, 4, 6]) {
        const pages = await pagesFrom(`/files/few/?limit=${limit}&${query}`);
        assert.deepEqual(pages.flat(), names, `${query} limit=${limit}`);
        assert.ok(pages.every((page) => page.length <= limit && page.length > 0));
      }
    }
    const down = await pagesFrom("/files/many/?sort=name&order=desc");
    assert.deepEqual(down.flat(), [...NAMES].reverse());
  });

  it("contain only names with the text of the filter", async () => {
    assert.deepEqual((await pagesFrom("/files/few/?filter=d.t")).flat(), ["D.TXT"]);
    assert.deepEqual((await pagesFrom("/files/few/?filter=%2A")).flat(), []);
    const wanted = NAMES.filter((name) => name.includes("7"));
    for (const query of [
      "filter=7",
      "filter=7&limit=400",
      "filter=7&limit=400&sort=time&order=asc",
    ]) {
      assert.deepEqual((await pagesFrom(`/files/many/?${query}`)).flat(), wanted, query);
    }
    const page = await gateway.request("/files/many/?filter=%22%3Cn00&sort=size", HTML);
    assert.match(page.text, /name="filter" value="&quot;&lt;n00"/);
    assert.match(page.text, /<input type="hidden" name="sort" value="size">/);
  });

  it("explain why a directory is too large to be sorted", async () => {
    await files.writeFile("/many/one-more", "");
    const page = await gateway.request("/files/many/?sort=size", HTML);
    assert.equal(page.status, 200);
    assert.match(
      page.text,
      /<p role="note">The directory has 2501 entries\. [^<]*at most 2500 entries/,
    );
    assert.deepEqual(rowsOf(page), NAMES.slice(0, 1_000));
    const refused = await gateway.request("/files/many/?sort=size");
    assert.deepEqual(
      [refused.status, JSON.parse(refused.text).error.code],
      [400, "INVALID_ARGUMENT"],
    );
    assert.equal((await pagesFrom("/files/many/")).flat().length, COUNT + 1);
    await files.unlink("/many/one-more");
  });

  it("refuse a malformed cursor, and one of another listing", async () => {
    const { next } = await pageAt("/files/few/?limit=2");
    const cursor = /cursor=([^&]*)/.exec(next ?? "")?.[1] ?? "";
    const [prefix, index, value, name] = cursor.split("~");
    const queries = [
      "cursor=",
      "cursor=x",
      `sort=size&cursor=${cursor}`,
      `order=desc&cursor=${cursor}`,
      `cursor=${prefix}~${index}~${value}~`,
      `cursor=${prefix}~${index}~x~${name}`,
      `cursor=${prefix}~-1~${value}~${name}`,
      `cursor=${prefix}~${index}~${value}~${Buffer.from("a/b").toString("base64url")}`,
      `cursor=${prefix}~999999999~${value}~${name}`,
      "sort=mode",
      "order=up",
      `filter=${"x".repeat(1_001)}`,
    ];
    for (const query of queries) {
      const response = await gateway.request(`/files/few/?${query}`);
      assert.equal(response.status, 400, `${query}: ${response.text}`);
      assert.equal(JSON.parse(response.text).error.code, "INVALID_ARGUMENT", query);
    }
  });
});
