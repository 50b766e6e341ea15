import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { parse } from "content-disposition";
import { displayName, isUtf8 } from "../../../shared/base/path.ts";
import { ServedGateway } from "./served-gateway.ts";

/** Names with every byte that a name can have, and names that are hard to quote, as Latin-1. */
const NAMES: readonly string[] = [
  ...Array.from({ length: 255 }, (_, index) => `a${String.fromCharCode(index + 1)}z`),
  "a%22b.txt",
  "a%0Ab%0d",
  'a"b.txt',
  'a\\"b',
  "a\\",
  "a\\\\b",
  'a"; filename="b',
  "=?utf-8?q?a?=",
  "gr\xc3\xb6\xc3\x9fe \xe2\x82\xac \xf0\x9f\x98\x80",
  "\xc3\x28",
  "\xef\xbb\xbfbom",
  "name with spaces ",
  "a\r\nX-Injected: 1",
].filter((name) => !name.includes("/") && name !== ".");

function urlOfName(name: string): string {
  const hex = (character: string): string => character.charCodeAt(0).toString(16).padStart(2, "0");
  return `/files/${Array.from(name, (character) => `%${hex(character)}`).join("")}`;
}

/** Returns a header as a browser writes it (HTML, "multipart/form-data encoding algorithm"). */
function asBrowser(name: string): string {
  const escaped = name.replace(/["\r\n]/g, (character) => encodeURIComponent(character));
  return `form-data; name="file"; filename="${escaped}"`;
}

describe("names in the gateway", () => {
  let gateway: ServedGateway;
  const locations: string[] = [];
  before(async () => {
    gateway = await ServedGateway.start({ formFilesMax: 1_000 });
    for (const name of NAMES) {
      const stored = await gateway.request(urlOfName(name), { method: "PUT", body: name });
      assert.equal(stored.status, 201, JSON.stringify(name));
      const location = String(stored.headers.location);
      assert.equal(JSON.parse(stored.text).href, location);
      locations.push(location);
    }
  });
  after(async () => {
    await gateway[Symbol.asyncDispose]();
  });

  it("are stored as the bytes of the URL", () => {
    assert.deepEqual(gateway.files.paths, NAMES.map((name) => `/${name}`).sort());
  });

  it("are the same bytes in JSON, with the URL of the file", async () => {
    const { entries } = JSON.parse((await gateway.request("/files/?json")).text);
    const listed = entries.map(({ name, name_base64 }: Record<string, string>) =>
      Buffer.from(
        name_base64 ?? name ?? "",
        name_base64 === undefined ? "utf8" : "base64",
      ).toString("latin1"),
    );
    assert.deepEqual(listed, [...NAMES].sort());
    const hrefs = entries.map(({ href }: { readonly href: string }) => href);
    assert.deepEqual(hrefs.sort(), [...locations].sort());
  });

  it("are links in the page that lead to the file", async () => {
    const { text } = await gateway.request("/files/", { headers: { accept: "text/html" } });
    const hrefs = Array.from(text.matchAll(/<a href="([^"]*)"><bdi/g), ([, href]) => String(href));
    const { entries } = JSON.parse((await gateway.request("/files/?json")).text);
    assert.deepEqual(
      hrefs,
      entries.map(({ href }: { readonly href: string }) => href),
    );
  });

  it("are the file names of downloads, as far as the header can carry them", async () => {
    for (const [index, name] of NAMES.entries()) {
      const got = await gateway.request(`${locations[index]}?download`);
      assert.equal(got.text, name, `the Location of ${JSON.stringify(name)}`);
      const { type, parameters } = parse(String(got.headers["content-disposition"]));
      const bytes = Buffer.from(name, "latin1");
      const text = isUtf8(bytes) ? bytes.toString("utf8") : displayName(bytes);
      assert.deepEqual([type, parameters["filename"]], ["attachment", text], JSON.stringify(name));
    }
  });

  it("are read from a form as a browser writes them", async () => {
    await using empty = await ServedGateway.start({ formFilesMax: 1_000 });
    // A browser writes %22 for a quote and does not escape a percent sign.
    const names = NAMES.filter((name) => !/%(22|0d|0a)/i.test(name));
    const parts = names.map(
      (name) => `--x\r\nContent-Disposition: ${asBrowser(name)}\r\n\r\n${name}\r\n`,
    );
    const answer = await empty.request("/files/", {
      method: "POST",
      headers: { "content-type": "multipart/form-data; boundary=x", accept: "application/json" },
      body: Buffer.from(`${parts.join("")}--x--\r\n`, "latin1"),
    });
    assert.equal(answer.status, 201, answer.text);
    assert.deepEqual(empty.files.paths, names.map((name) => `/${name}`).sort());
    for (const name of names) {
      const bytes = Buffer.from(empty.files.bytesOf(`/${name}`) ?? []);
      assert.equal(bytes.toString("latin1"), name);
    }
  });
});
