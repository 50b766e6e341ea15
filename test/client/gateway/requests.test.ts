import assert from "node:assert/strict";
import { connect, type Socket } from "node:net";
import { after, before, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { ServedGateway } from "./served-gateway.ts";

let gateway: ServedGateway;
const LAST_MODIFIED = "Sat, 21 Nov 2026 09:14:30 GMT";

async function put(path: string, body: string, headers: Record<string, string> = {}) {
  return gateway.request(path, { method: "PUT", body, headers });
}

function errorOf(text: string): { code: string; message: string; retry: string; hint?: string } {
  return JSON.parse(text).error;
}

function rawConnection(): Socket {
  const [host, port] = gateway.address.split(":");
  return connect(Number(port), host);
}

describe("the gateway", () => {
  before(async () => {
    gateway = await ServedGateway.start({ fileBytesMax: 4_000_000, stallTimeoutMs: 300 });
  });
  after(async () => {
    await gateway[Symbol.asyncDispose]();
  });

  it("stores a body and serves it with its length, type, entity tag and time", async () => {
    const stored = await put("/files/a.txt", "hello");
    assert.equal(stored.status, 201);
    assert.equal(JSON.parse(stored.text).size_bytes, 5);
    const got = await gateway.request("/files/a.txt");
    assert.equal(got.status, 200);
    assert.equal(got.text, "hello");
    assert.equal(got.headers["content-length"], "5");
    assert.equal(got.headers["content-type"], "text/plain; charset=utf-8");
    assert.equal(got.headers["last-modified"], LAST_MODIFIED);
    assert.match(String(got.headers.etag), /^"[0-9a-f]{64}"$/);
    assert.equal(got.headers.etag, stored.headers.etag);
    assert.equal((await put("/files/a.txt", "again")).status, 200);
    const head = await gateway.request("/files/a.txt", { method: "HEAD" });
    assert.deepEqual([head.status, head.headers["content-length"], head.text], [200, "5", ""]);
    await sleep(20);
    assert.equal(gateway.files.openHandles, 0);
  });

  it("serves byte ranges (RFC 9110), and ignores malformed ranges", async () => {
    await put("/files/digits", "0123456789");
    const cases: ReadonlyArray<readonly [string, number, string, string | undefined]> = [
      ["bytes=2-4", 206, "234", "bytes 2-4/10"],
      ["bytes=7-", 206, "789", "bytes 7-9/10"],
      ["bytes=7-99", 206, "789", "bytes 7-9/10"],
      ["bytes=-3", 206, "789", "bytes 7-9/10"],
      ["bytes=-99", 206, "0123456789", "bytes 0-9/10"],
      ["bytes=0-2,2-4", 206, "01234", "bytes 0-4/10"],
      ["bytes=0-0", 206, "0", "bytes 0-0/10"],
      ["pages=1-2", 200, "0123456789", undefined],
      ["bytes=x-y", 200, "0123456789", undefined],
      ["bytes=5-2", 200, "0123456789", undefined],
      ["bytes=0-1,5-2", 200, "0123456789", undefined],
      ["Bytes = 1-1 , 10-12,", 206, "1", "bytes 1-1/10"],
      ["bytes=4-5,0-1,2-3", 206, "012345", "bytes 0-5/10"],
    ];
    for (const [range, status, text, contentRange] of cases) {
      const got = await gateway.request("/files/digits", { headers: { range } });
      const found = [got.status, got.text, got.headers["content-range"]];
      assert.deepEqual(found, [status, text, contentRange], range);
    }
    for (const range of ["bytes=10-", "bytes=-0", "bytes=10-,-0", `bytes=${"9".repeat(400)}-`]) {
      const got = await gateway.request("/files/digits", { headers: { range } });
      assert.equal(got.status, 416, range);
      assert.equal(got.headers["content-range"], "bytes */10");
      assert.equal(errorOf(got.text).code, "INVALID_ARGUMENT");
    }
    const head = await gateway.request("/files/digits", {
      method: "HEAD",
      headers: { range: "bytes=1-2" },
    });
    assert.deepEqual([head.status, head.headers["content-length"]], [200, "10"]);
  });

  it("serves several ranges as multipart/byteranges", async () => {
    const etag = String((await put("/files/digits.txt", "0123456789")).headers.etag);
    const cases: ReadonlyArray<readonly [string, ReadonlyArray<readonly [string, string]>]> = [
      [
        "bytes=0-1,8-9",
        [
          ["bytes 0-1/10", "01"],
          ["bytes 8-9/10", "89"],
        ],
      ],
      [
        "bytes=-1,0-0, 20-",
        [
          ["bytes 9-9/10", "9"],
          ["bytes 0-0/10", "0"],
        ],
      ],
      [
        "bytes=6-7,0-2,2-4",
        [
          ["bytes 6-7/10", "67"],
          ["bytes 0-4/10", "01234"],
        ],
      ],
    ];
    for (const [range, parts] of cases) {
      const got = await gateway.request("/files/digits.txt", {
        headers: { range, "if-range": etag },
      });
      const type = String(got.headers["content-type"]);
      const boundary = /^multipart\/byteranges; boundary=([0-9a-f]+)$/.exec(type)?.[1];
      const expected = parts.map(
        ([contentRange, text]) =>
          `--${boundary}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Range: ${contentRange}\r\n\r\n${text}\r\n`,
      );
      assert.deepEqual([got.status, got.text], [206, `${expected.join("")}--${boundary}--\r\n`]);
      assert.equal(got.headers["content-length"], String(got.body.length));
      assert.equal(got.headers["content-range"], undefined);
    }
    const other = { headers: { range: "bytes=0-1,8-9", "if-range": '"other"' } };
    assert.equal((await gateway.request("/files/digits.txt", other)).text, "0123456789");
  });

  it("evaluates the conditional headers of reads", async () => {
    const { headers } = await put("/files/seen", "seen");
    const etag = String(headers.etag);
    const status = async (given: Record<string, string>): Promise<number> =>
      (await gateway.request("/files/seen", { headers: given })).status;
    assert.equal(await status({ "if-none-match": etag }), 304);
    assert.equal(await status({ "if-none-match": `"x", W/${etag}` }), 304);
    assert.equal(await status({ "if-none-match": '"x"' }), 200);
    assert.equal(await status({ "if-modified-since": LAST_MODIFIED }), 304);
    assert.equal(await status({ "if-modified-since": "Sat, 21 Nov 2026 09:14:29 GMT" }), 200);
    assert.equal(await status({ "if-none-match": '"x"', "if-modified-since": LAST_MODIFIED }), 200);
    assert.equal(await status({ "if-match": etag }), 200);
    assert.equal(await status({ "if-match": `W/${etag}` }), 412);
    assert.equal(await status({ "if-unmodified-since": "Sat, 21 Nov 2026 09:14:29 GMT" }), 412);
    assert.equal(await status({ range: "bytes=0-1", "if-range": etag }), 206);
    assert.equal(await status({ range: "bytes=0-1", "if-range": '"other"' }), 200);
  });

  it("answers an error without the headers of the file", async () => {
    await put("/files/seen", "seen");
    const headers = { "if-match": '"x"' };
    const refused = await gateway.request("/files/seen?download", { headers });
    assert.equal(refused.status, 412);
    const ofFile = ["etag", "last-modified", "accept-ranges", "content-disposition"];
    assert.deepEqual(
      ofFile.filter((name) => refused.headers[name] !== undefined),
      [],
    );
    assert.equal(refused.headers["content-type"], "application/json; charset=utf-8");
  });

  it("replaces no file with If-None-Match, and only the given version with If-Match", async () => {
    const writtenBefore = gateway.files.writtenPaths.length;
    const first = await put("/files/once", "1", { "if-none-match": "*" });
    assert.equal(first.status, 201);
    const second = await put("/files/once", "2", { "if-none-match": "*" });
    assert.equal(second.status, 412);
    assert.equal(errorOf(second.text).code, "PRECONDITION_FAILED");
    const etag = String(first.headers.etag);
    assert.equal((await put("/files/once", "3", { "if-match": '"0"' })).status, 412);
    assert.equal((await put("/files/once", "3", { "if-match": etag })).status, 200);
    assert.equal((await put("/files/once", "4", { "if-match": etag })).status, 412);
    assert.equal((await put("/files/none", "5", { "if-match": "*" })).status, 412);
    assert.equal((await gateway.request("/files/once")).text, "3");
    const remove = { method: "DELETE", headers: { "if-match": etag } };
    assert.equal((await gateway.request("/files/once", remove)).status, 412);
    assert.equal((await gateway.request("/files/once", { method: "DELETE" })).status, 204);
    const written = gateway.files.writtenPaths.slice(writtenBefore);
    assert.deepEqual(written, ["/once", "/once"], "no path with another name is written");
  });

  it("accepts percent-encoded names of any bytes, and refuses . and ..", async () => {
    const name = "a%FF%0A%22%3Cb%3E%26%20%25%C3%BC";
    assert.equal((await put(`/files/${name}`, "odd")).status, 201);
    assert.equal((await gateway.request(`/files/${name}`)).text, "odd");
    const listed = JSON.parse((await gateway.request("/files/?json")).text);
    const entry = listed.entries.find((each: { size_bytes: number }) => each.size_bytes === 3);
    assert.equal(
      Buffer.from(entry.name_base64, "base64").toString("latin1"),
      'a\xff\n"<b>& %\xc3\xbc',
    );
    assert.equal((await gateway.request(entry.href)).text, "odd");
    for (const path of [
      "/files/../a",
      "/files/%2e%2e/a",
      "/files/a%2Fb",
      "/files/%zz",
      "/files/%00",
    ]) {
      const got = await gateway.request(path, { method: "PUT", body: "x" });
      assert.equal(got.status, 400, path);
      assert.equal(errorOf(got.text).code, "INVALID_ARGUMENT", path);
    }
    assert.equal((await put(`/files/${"n".repeat(256)}`, "x")).status, 400);
  });

  it("makes, lists and removes directories", async () => {
    const make = (path: string) => gateway.request(path, { method: "PUT" });
    assert.equal((await make("/files/d/?directory")).status, 201);
    assert.equal((await make("/files/d/?directory")).status, 409);
    assert.equal((await make("/files/x/y/?directory")).status, 404);
    assert.equal((await make("/files/x/y/?directory&parents")).status, 201);
    await put("/files/d/one", "1");
    const lines = await gateway.request("/files/d/", {
      headers: { accept: "application/x-ndjson" },
    });
    assert.equal(lines.headers["content-type"], "application/x-ndjson");
    assert.equal(JSON.parse(lines.text.trim()).name, "one");
    assert.equal((await put("/files/d", "x")).status, 409);
    assert.equal((await gateway.request("/files/d/one/")).status, 409);
    assert.equal((await gateway.request("/files/d", { method: "DELETE" })).status, 409);
    assert.equal(
      (await gateway.request("/files/d?recursive=true", { method: "DELETE" })).status,
      204,
    );
    assert.equal((await gateway.request("/files/d/")).status, 404);
    assert.equal((await gateway.request("/files/d", { method: "DELETE" })).status, 404);
  });

  it("serves an HTML page with every name escaped, and stored files in a sandbox", async () => {
    await put("/files/%3Cscript%3Ealert(1)%3C%2Fscript%3E".replace("%2F", "%5C"), "x");
    const accept = "text/html,application/xhtml+xml,*/*;q=0.8";
    const page = await gateway.request("/files/", { headers: { accept } });
    assert.equal(page.headers["content-type"], "text/html; charset=utf-8");
    assert.doesNotMatch(page.text, /<script>alert/);
    assert.match(page.text, /&lt;script&gt;alert\(1\)/);
    assert.match(String(page.headers["content-security-policy"]), /script-src 'sha256-/);
    await put("/files/page.html", "<script>1</script>");
    const stored = await gateway.request("/files/page.html?download");
    assert.match(String(stored.headers["content-security-policy"]), /sandbox/);
    assert.equal(stored.headers["content-disposition"], "attachment; filename=page.html");
    assert.equal(stored.headers["x-content-type-options"], "nosniff");
  });

  it("offers a preview of the files that it serves as an image or as text", async () => {
    const found: Record<string, string | undefined> = {};
    for (const name of ["png", "a.png", "a.bin", "a.md", "a.toml", "text"]) {
      await put(`/files/${name}`, "x");
    }
    const page = await gateway.request("/files/", { headers: { accept: "text/html" } });
    for (const [, href = "", kind] of page.text.matchAll(
      /<tr><td><a href="([^"]*)">.*?<td class="actions">(?:<button class="preview" hidden data-kind="(\w+)")?/g,
    )) {
      found[href] = kind;
    }
    const kinds = ["png", "a.png", "a.bin", "a.md", "a.toml", "text"].map(
      (name) => found[`/files/${name}`],
    );
    assert.deepEqual(kinds, [undefined, "image", undefined, "text", "text", undefined]);
    for (const name of ["png", "text"]) {
      const { headers } = await gateway.request(`/files/${name}`);
      assert.equal(headers["content-type"], "application/octet-stream");
    }
  });

  it("refuses requests from a page of another site", async () => {
    const status = async (headers: Record<string, string>): Promise<number> =>
      (await put("/files/csrf", "x", headers)).status;
    assert.equal(await status({ "sec-fetch-site": "cross-site" }), 403);
    assert.equal(await status({ "sec-fetch-site": "same-site" }), 403);
    assert.equal(await status({ origin: "http://evil.example" }), 403);
    assert.equal(await status({ origin: "null" }), 403);
    assert.equal(await status({ origin: `http://${gateway.address}` }), 201);
    assert.equal(await status({ "sec-fetch-site": "same-origin" }), 200);
    const rebound = await gateway.request("/files/", { headers: { host: "evil.example:7480" } });
    assert.equal(rebound.status, 403);
  });

  it("does not store an upload that is cut off, too short or stalled", async () => {
    const before = gateway.files.paths;
    const head = "PUT /files/cut HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n";
    const cut = rawConnection();
    cut.write(`${head}only so much`);
    await sleep(50);
    cut.destroy();
    const chunked = rawConnection();
    chunked.write(
      "PUT /files/cut HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    );
    await sleep(50);
    chunked.end();
    const stalled = rawConnection();
    let answer = "";
    stalled.on("data", (part) => {
      answer += part;
    });
    stalled.write(`${head}and then nothing`);
    for (let waits = 0; answer === "" && waits < 100; waits += 1) await sleep(20);
    stalled.destroy();
    assert.match(answer, /^HTTP\/1\.1 504/);
    await sleep(50);
    assert.deepEqual(gateway.files.paths, before);
  });

  it("refuses bodies that are too large, encoded or partial, and unknown methods", async () => {
    const large = await put("/files/large", "x".repeat(4_000_001));
    assert.equal(large.status, 413);
    assert.equal(errorOf(large.text).code, "TOO_LARGE");
    assert.equal((await put("/files/e", "x", { "content-encoding": "gzip" })).status, 501);
    assert.equal((await put("/files/e", "x", { "content-range": "bytes 0-0/2" })).status, 501);
    const patched = await gateway.request("/files/e", { method: "PATCH" });
    assert.deepEqual([patched.status, errorOf(patched.text).code], [405, "UNSUPPORTED"]);
    assert.match(String(patched.headers.allow), /PUT/);
    const accept = "text/html,*/*;q=0.8";
    const page = await gateway.request("/files/a%3Cb/missing", { headers: { accept } });
    assert.deepEqual(
      [page.status, page.headers["content-type"]],
      [404, "text/html; charset=utf-8"],
    );
    assert.match(page.text, /<p>[^<]*: \/a&lt;b\/missing<\/p>/);
    assert.match(page.text, /<a href="\/files\/a%3Cb\/">back to <bdi>a&lt;b<\/bdi><\/a>/);
    assert.match(page.text, /<a href="\/files\/">all files<\/a>/);
    const missing = await gateway.request("/files/missing");
    assert.equal(missing.status, 404);
    assert.deepEqual(Object.keys(errorOf(missing.text)), ["code", "message", "retry"]);
    assert.equal((await gateway.request("/elsewhere")).status, 404);
  });

  it("serves its health and its metrics", async () => {
    assert.equal((await gateway.request("/healthz")).status, 200);
    assert.equal((await gateway.request("/readyz")).status, 200);
    const { text } = await gateway.request("/metrics");
    assert.match(text, /ashlar_gateway_requests_total\{method="PUT",status="201"\}/);
    assert.match(text, /ashlar_gateway_bytes_total\{direction="in"\}/);
  });
});
