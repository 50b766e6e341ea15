import assert from "node:assert/strict";
import { connect } from "node:net";
import { text } from "node:stream/consumers";
import { after, before, describe, it } from "node:test";
import { ServedGateway } from "./served-gateway.ts";

let gateway: ServedGateway;

/** Sends a head and a body as they are. Resolves with the status of the response. */
async function statusOf(head: readonly string[], body = ""): Promise<number> {
  const [host, port] = gateway.address.split(":");
  const socket = connect({ port: Number(port), host: host ?? "", allowHalfOpen: true });
  socket.write([...head, "Connection: close", "", body].join("\r\n"));
  const response = await text(socket);
  socket.destroy();
  return Number(/^HTTP\/1\.1 (\d+)/.exec(response)?.[1]);
}

describe("requests that HTTP clients do not send", () => {
  before(async () => {
    gateway = await ServedGateway.start();
    await gateway.files.writeFile("/f", [Buffer.from("old")]);
  });
  after(() => gateway[Symbol.asyncDispose]());

  it("never replace a file by what is not the sent content", async () => {
    const refused: ReadonlyArray<readonly [string, readonly string[], string, number]> = [
      ["no length", [], "", 400],
      ["an encoded body", ["Transfer-Encoding: gzip, chunked"], "1\r\nx\r\n0\r\n\r\n", 501],
      ["two lengths", ["Content-Length: 1", "Transfer-Encoding: chunked"], "0\r\n\r\n", 400],
      ["a malformed chunk", ["Transfer-Encoding: chunked"], "1\r\nx\r\nz\r\n\r\n", 400],
      // Node ignores headers after the 2,000th by default.
      [
        "many headers",
        [...Array.from({ length: 2_500 }, () => "a:"), "If-None-Match: *", "Content-Length: 1"],
        "x",
        412,
      ],
    ];
    for (const [name, headers, body, status] of refused) {
      const head = ["PUT /files/f HTTP/1.1", "Host: localhost", ...headers];
      assert.equal(await statusOf(head, body), status, name);
      assert.equal((await gateway.request("/files/f")).text, "old", name);
    }
  });

  it("are refused if they have no host, or two (RFC 9112, section 3.2)", async () => {
    assert.equal(await statusOf(["GET /files/f HTTP/1.1"]), 400);
    const hosts = ["Host: localhost", "Host: localhost"];
    assert.equal(await statusOf(["GET /files/f HTTP/1.1", ...hosts]), 400);
    assert.equal(await statusOf(["GET /files/f HTTP/1.0"]), 200);
  });
});
