import assert from "node:assert/strict";
import { connect } from "node:net";
import { text } from "node:stream/consumers";
import { after, before, describe, it } from "node:test";
import type { FileSystem } from "../../../client/file-system.ts";
import { isAshlarError } from "../../../shared/base/errors.ts";
import { LoopbackCluster } from "../support/loopback-cluster.ts";
import { type GatewayResponse, type RequestOptions, ServedGateway } from "./served-gateway.ts";

const FORM = {
  body: '--x\r\nContent-Disposition: form-data; name="file"; filename="n"\r\n\r\n1\r\n--x--\r\n',
  headers: { "content-type": "multipart/form-data; boundary=x" },
};

/** Every request that reads or changes a path. */
const REQUESTS: ReadonlyArray<readonly [string, RequestOptions, string]> = [
  ["GET", {}, ""],
  ["GET", {}, "?json"],
  ["GET", {}, "?download"],
  ["HEAD", {}, ""],
  ["PUT", { body: "new" }, ""],
  ["PUT", { body: "new" }, "?parents"],
  ["PUT", {}, "?directory"],
  ["PUT", {}, "?directory&parents"],
  ["POST", FORM, ""],
  ["POST", FORM, "?replace"],
  ["DELETE", {}, ""],
  ["DELETE", {}, "?recursive"],
];

let cluster: LoopbackCluster;
let files: FileSystem;
let gateway: ServedGateway;

function send(method: string, path: string, options: RequestOptions = {}) {
  return gateway.request(path, { method, ...options });
}

function codeOf(response: GatewayResponse): string {
  return response.text === "" ? String(response.status) : JSON.parse(response.text).error?.code;
}

async function treeOf(): Promise<string[]> {
  const paths: string[] = [];
  for await (const { path } of files.walk("/")) paths.push(Buffer.from(path).toString("latin1"));
  return paths;
}

describe("paths of the gateway", () => {
  before(async () => {
    cluster = await LoopbackCluster.start(0);
    files = await cluster.connect();
    gateway = await ServedGateway.start({}, files);
    await files.mkdir("/d/sub", { parents: true });
    await files.writeFile("/f", "content");
    await files.writeFile("/d/g", "content");
  });
  after(async () => {
    await gateway[Symbol.asyncDispose]();
    await cluster[Symbol.asyncDispose]();
  });

  const MALFORMED = [
    "/files/.",
    "/files/..",
    "/files/./",
    "/files/d/..",
    "/files/d/../",
    "/files/d/./g",
    "/files/d/sub/../g",
    "/files/%2e",
    "/files/d/%2E%2e/f",
    "/files/d/.%2e",
    "/files//",
    "/files//f",
    "/files/d//",
    "/files/d//g",
    "/files/f//",
    "/files/%00",
    "/files/d/a%00b",
    "/files/d%2Fg",
    "/files/d%2fg",
    "/files/%",
    "/files/%4",
    "/files/%g0",
    "/files/f#",
    "/files/f#g",
    "http://localhost/files/d/..",
  ];
  for (const path of MALFORMED) {
    it(`refuses ${path} for every method and changes nothing`, async () => {
      const before = await treeOf();
      for (const [method, options, query] of REQUESTS) {
        const [inPath = "", fragment] = path.split("#");
        const url = inPath + query + (fragment === undefined ? "" : `#${fragment}`);
        const response = await send(method, url, options);
        assert.equal(response.status, 400, `${method} ${url}`);
        if (method !== "HEAD") assert.equal(codeOf(response), "INVALID_ARGUMENT", method);
      }
      assert.deepEqual(await treeOf(), before);
    });
  }

  it("answers NOT_A_DIRECTORY for a file with a slash after its name, for every method", async () => {
    const before = await treeOf();
    for (const path of ["/files/f/", "/files/d/g/", "/files/f/x", "/files/f/x/"]) {
      for (const [method, options, query] of REQUESTS) {
        const response = await send(method, path + query, options);
        assert.equal(response.status, 409, `${method} ${path}${query}`);
        // As mkdir(2), which reports EEXIST for every name that is taken.
        const isTaken = query.startsWith("?directory") && !path.includes("x");
        const code = isTaken ? "ALREADY_EXISTS" : "NOT_A_DIRECTORY";
        if (method !== "HEAD") assert.equal(codeOf(response), code, `${method} ${path}${query}`);
      }
    }
    assert.deepEqual(await treeOf(), before);
    assert.equal(Buffer.from(await files.readFile("/f")).toString(), "content");
  });

  it("refuses to remove or replace the root", async () => {
    for (const path of ["/files", "/files/"]) {
      for (const [method, options, query] of REQUESTS) {
        if (method === "GET" || method === "HEAD" || method === "POST") continue;
        const response = await send(method, path + query, options);
        assert.ok([400, 409].includes(response.status), `${method} ${path}${query}`);
      }
    }
    assert.equal((await files.stat("/d/g")).kind, "file");
  });

  it("refuses to put a file at a URL with a slash at its end", async () => {
    const before = await treeOf();
    assert.equal(codeOf(await send("PUT", "/files/new/", { body: "x" })), "INVALID_ARGUMENT");
    assert.equal(
      codeOf(await send("PUT", "/files/p/new/?parents", { body: "x" })),
      "INVALID_ARGUMENT",
    );
    assert.equal(codeOf(await send("PUT", "/files/d/", { body: "x" })), "IS_A_DIRECTORY");
    assert.equal(codeOf(await send("PUT", "/files/d", { body: "x" })), "IS_A_DIRECTORY");
    assert.equal(
      codeOf(await send("PUT", "/files/n/?directory", { body: "x" })),
      "INVALID_ARGUMENT",
    );
    assert.deepEqual(await treeOf(), before);
  });

  it("makes no directories for an upload that it refuses", async () => {
    const before = await treeOf();
    const refused: ReadonlyArray<readonly [string, Readonly<Record<string, string>>, number]> = [
      ["/files/p/q/new?parents", { "if-match": "*" }, 412],
      ["/files/p/q/new?parents", { "if-match": '"0"' }, 412],
      ["/files/p/q/new?parents", { "if-match": "0" }, 400],
      ["/files/p/q/new?parents", { "if-none-match": "0" }, 400],
      ["/files/p/q/new?parents", { "content-range": "bytes 0-0/2" }, 501],
      ["/files/p/q/new?parents", { "content-encoding": "gzip" }, 501],
      ["/files/p/q/new/?parents&directory", { "if-match": "*" }, 412],
    ];
    for (const [path, headers, status] of refused) {
      const body = path.includes("directory") ? {} : { body: "x" };
      const response = await send("PUT", path, { headers, ...body });
      assert.equal(response.status, status, JSON.stringify(headers));
    }
    assert.deepEqual(await treeOf(), before);
    const stored = await send("PUT", "/files/p/q/new?parents", {
      body: "x",
      headers: { "if-none-match": "*" },
    });
    assert.equal(stored.status, 201);
    await files.removeTree("/p");
  });

  it("keeps raw bytes of a URL that a general URL parser would change", async () => {
    const sent: ReadonlyArray<readonly [string, string]> = [
      ["/files/a\\b", "/a\\b"],
      ["/files/a\\..\\b%C2%A0", "/a\\..\\b\xc2\xa0"],
      ["http://other/files/absolute", "/absolute"],
      ["/files/a+b;c=d&e", "/a+b;c=d&e"],
    ];
    for (const [target, path] of sent) {
      const [host, port] = gateway.address.split(":");
      const socket = connect(Number(port), host);
      const head = `PUT ${target} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nConnection: close\r\n\r\n1`;
      socket.write(Buffer.from(head, "latin1"));
      assert.match(await text(socket), /^HTTP\/1.1 201/, target);
      const bytes = await files.readFile(Buffer.from(path, "latin1"));
      assert.equal(Buffer.from(bytes).toString(), "1", target);
      await files.unlink(Buffer.from(path, "latin1"));
    }
  });

  it("shows times that no HTTP date holds", async () => {
    await files.writeFile("/late", "x", { mtimeMs: 8.64e15 });
    await files.writeFile("/early", "x", { mtimeMs: -8.64e15 });
    for (const path of ["/files/late", "/files/early"]) {
      const response = await send("GET", path);
      assert.deepEqual([response.status, response.headers["last-modified"]], [200, undefined]);
    }
    for (const query of ["?json", ""]) {
      const accept = query === "" ? "text/html" : "*/*";
      assert.equal((await send("GET", `/files/${query}`, { headers: { accept } })).status, 200);
    }
  });
});

/** Sends the head of a PUT that waits for status 100. Resolves with all that is answered. */
async function putWithExpectation(
  target: string,
  headers: string,
  lengthBytes = 4,
): Promise<string> {
  const [host, port] = gateway.address.split(":");
  const socket = connect({ port: Number(port), host: host ?? "", allowHalfOpen: true });
  socket.setEncoding("latin1");
  socket.write(
    `PUT ${target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Length: ${lengthBytes}\r\n${headers}\r\n`,
  );
  let answer = "";
  for await (const part of socket) {
    answer += part;
    if (answer === "HTTP/1.1 100 Continue\r\n\r\n") socket.write("body");
  }
  socket.destroy();
  return answer;
}

describe("Expect: 100-continue", () => {
  before(async () => {
    cluster = await LoopbackCluster.start(0);
    files = await cluster.connect();
    gateway = await ServedGateway.start({ fileBytesMax: 10 }, files);
    await files.mkdir("/d");
    await files.writeFile("/f", "old");
  });
  after(async () => {
    await gateway[Symbol.asyncDispose]();
    await cluster[Symbol.asyncDispose]();
  });

  it("refuses a request without reading its body", async () => {
    const refused: ReadonlyArray<readonly [string, string, number]> = [
      ["/files/f", "If-None-Match: *\r\n", 412],
      ["/files/f", 'If-Match: "0"\r\n', 412],
      ["/files/f", "If-Unmodified-Since: Sat, 01 Jan 2000 00:00:00 GMT\r\n", 412],
      ["/files/none", "If-Match: *\r\n", 412],
      ["/files/none/f", "", 404],
      ["/files/f/g", "", 409],
      ["/files/f/", "", 409],
      ["/files/d", "", 409],
      ["/files/d/..", "", 400],
      ["/files/n", "Content-Range: bytes 0-3/8\r\n", 501],
      ["/files/n", "Origin: http://other.example\r\n", 403],
    ];
    for (const [target, headers, status] of refused) {
      const answer = await putWithExpectation(target, headers);
      assert.match(answer, new RegExp(`^HTTP/1\\.1 ${status} `), `${target} ${headers}`);
    }
    assert.match(await putWithExpectation("/files/p/large?parents", "", 11), /^HTTP\/1\.1 413/);
    await assert.rejects(files.stat("/p"), (error) => isAshlarError(error, "NOT_FOUND"));
  });

  it("continues with a request that it can accept", async () => {
    assert.match(await putWithExpectation("/files/new", ""), /100 Continue[\s\S]*HTTP\/1\.1 201/);
    assert.match(
      await putWithExpectation("/files/p/q/new?parents", "If-None-Match: *\r\n"),
      /100 Continue[\s\S]*HTTP\/1\.1 201/,
    );
    assert.equal(Buffer.from(await files.readFile("/p/q/new")).toString(), "body");
  });
});
