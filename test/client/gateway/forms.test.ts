import assert from "node:assert/strict";
import { connect } from "node:net";
import { describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { type GatewayResponse, ServedGateway } from "./served-gateway.ts";

const BOUNDARY = "----boundary";
const CONTENT_TYPE = `multipart/form-data; boundary=${BOUNDARY}`;

type Part = { readonly name: string; readonly filename?: string; readonly body: string };

function formOf(parts: readonly Part[]): string {
  const texts = parts.map(({ name, filename, body }) => {
    const file = filename === undefined ? "" : `; filename="${filename}"`;
    return `--${BOUNDARY}\r\nContent-Disposition: form-data; name="${name}"${file}\r\n\r\n${body}\r\n`;
  });
  return `${texts.join("")}--${BOUNDARY}--\r\n`;
}

function post(
  gateway: ServedGateway,
  parts: readonly Part[],
  { path = "/files/", accept = "application/json" } = {},
): Promise<GatewayResponse> {
  const headers = { "content-type": CONTENT_TYPE, accept };
  return gateway.request(path, { method: "POST", body: formOf(parts), headers });
}

const file = (filename: string, body: string): Part => ({ name: "file", filename, body });

describe("a form with files", () => {
  it("stores every file with its name", async () => {
    await using gateway = await ServedGateway.start();
    const large = "x".repeat(3_000_000);
    const answer = await post(gateway, [
      file("a", "1"),
      file("größe.txt", large),
      file("empty", ""),
    ]);
    assert.equal(answer.status, 201);
    assert.deepEqual(
      JSON.parse(answer.text).files.map((each: { size_bytes: number }) => each.size_bytes),
      [1, 3_000_000, 0],
    );
    assert.equal(Buffer.from(gateway.files.bytesOf("/a") ?? []).toString(), "1");
    assert.equal((await gateway.request("/files/gr%C3%B6%C3%9Fe.txt")).body.length, 3_000_000);
  });

  it("stores thousands of small files of one form", async () => {
    await using gateway = await ServedGateway.start({ formFilesMax: 3_000 });
    const parts = Array.from({ length: 3_000 }, (_, index) => file(`f${index}`, `${index}`));
    assert.equal((await post(gateway, parts)).status, 201);
    assert.equal(gateway.files.paths.length, 3_000);
    assert.equal(Buffer.from(gateway.files.bytesOf("/f2999") ?? []).toString(), "2999");
  });

  it("replaces files only on request, and reports each refused file", async () => {
    await using gateway = await ServedGateway.start();
    await post(gateway, [file("a", "old")]);
    const partial = await post(gateway, [file("a", "new"), file("b", "b")]);
    assert.equal(partial.status, 207);
    const [refused, stored] = JSON.parse(partial.text).files;
    assert.equal(refused.error.code, "ALREADY_EXISTS");
    assert.equal(stored.href, "/files/b");
    assert.equal((await post(gateway, [file("a", "new")])).status, 409);
    const replace = { name: "replace", body: "on" };
    assert.equal((await post(gateway, [replace, file("a", "new")])).status, 201);
    assert.equal(Buffer.from(gateway.files.bytesOf("/a") ?? []).toString(), "new");
  });

  it("skips the rest of a refused file, and stores the next one", async () => {
    await using gateway = await ServedGateway.start();
    const large = "x".repeat(1_000_000);
    const parts = [file("a", "1"), file("a", large), file("", large), file("b", large)];
    const answer = await post(gateway, parts);
    assert.equal(answer.status, 207);
    assert.deepEqual(
      JSON.parse(answer.text).files.map(({ error }: { error?: { code: string } }) => error?.code),
      [undefined, "ALREADY_EXISTS", "INVALID_ARGUMENT", undefined],
    );
    assert.deepEqual(gateway.files.paths, ["/a", "/b"]);
  });

  it("answers a form whose headers are malformed after stored files", async () => {
    await using gateway = await ServedGateway.start();
    const headers = { "content-type": CONTENT_TYPE };
    const cases: ReadonlyArray<readonly [string, RegExp]> = [
      ['b"c', /expected Content-Disposition: form-data/],
      ['b"\r\nX: "\x01', /Malformed part header/],
      ['b"\r\n\x01: "', /Malformed part header/],
    ];
    for (const [index, [name, expected]] of cases.entries()) {
      const form = formOf([
        file(`a${index}`, "1"),
        file(name, "x".repeat(300_000)),
        file("d", "1"),
      ]);
      const answer = await gateway.request("/files/", { method: "POST", body: form, headers });
      assert.equal(answer.status, 400, name);
      assert.match(answer.text, expected);
    }
    assert.deepEqual(gateway.files.paths, ["/a0", "/a1", "/a2"]);
  });

  it("redirects a browser without the script to the page", async () => {
    await using gateway = await ServedGateway.start();
    const answer = await post(gateway, [file("a", "1")], { accept: "text/html,*/*;q=0.8" });
    assert.deepEqual([answer.status, answer.headers.location], [303, "/files/"]);
    const parts = [file("a", "2"), file("b", "2")];
    const partial = await post(gateway, parts, { accept: "text/html,*/*;q=0.8" });
    assert.equal(partial.status, 207);
    assert.match(partial.text, /<p>Stored: 1 file\. Not stored:<\/p>\n<p>a: [^<]*<\/p>/);
    assert.match(partial.text, /<a href="\/files\/">all files<\/a>/);
  });

  it("does not store a file that is too large, and limits files and fields", async () => {
    await using gateway = await ServedGateway.start({ fileBytesMax: 10, formFilesMax: 2 });
    const exact = await post(gateway, [file("exact", "0123456789")]);
    assert.equal(exact.status, 201);
    const large = await post(gateway, [file("large", "0123456789a"), file("b", "b")]);
    assert.equal(large.status, 207);
    assert.deepEqual(gateway.files.paths, ["/b", "/exact"]);
    const many = await post(gateway, [file("1", ""), file("2", ""), file("3", "")]);
    assert.equal(many.status, 413);
    const twice = [{ name: "replace", body: "on" }, file("exact", "first"), file("exact", "last")];
    const second = await post(gateway, twice);
    assert.equal(second.status, 207);
    assert.equal(JSON.parse(second.text).files[1].error.code, "ALREADY_EXISTS");
    assert.equal(Buffer.from(gateway.files.bytesOf("/exact") ?? []).toString(), "first");
    const longest = { name: "f", body: "v".repeat(1_024) };
    assert.equal((await post(gateway, [longest, file("y", "")])).status, 201);
    const tooLong = { name: "f", body: "v".repeat(1_025) };
    assert.equal((await post(gateway, [tooLong, file("z", "")])).status, 413);
    const fields = Array.from({ length: 20 }, (_, index) => ({ name: `f${index}`, body: "" }));
    assert.equal((await post(gateway, [...fields, file("x", "")])).status, 413);
  });

  it("uses only the last name of a path as the file name", async () => {
    await using gateway = await ServedGateway.start();
    await gateway.request("/files/d/?directory", { method: "PUT" });
    const answer = await post(gateway, [file("../../up", "1"), file("..", "2")], {
      path: "/files/d/",
    });
    assert.equal(answer.status, 207);
    assert.deepEqual(gateway.files.paths, ["/d/up"]);
  });

  it("does not store the file in which a form is cut off", async () => {
    await using gateway = await ServedGateway.start();
    const body = formOf([file("whole", "1"), file("cut", "x".repeat(100_000))]).slice(0, 50_000);
    const [host, port] = gateway.address.split(":");
    const socket = connect(Number(port), host);
    socket.write(
      `POST /files/ HTTP/1.1\r\nHost: localhost\r\nContent-Type: ${CONTENT_TYPE}\r\nContent-Length: 100000\r\n\r\n${body}`,
    );
    await sleep(200);
    socket.destroy();
    await sleep(100);
    assert.deepEqual(gateway.files.paths, ["/whole"]);
    const unended = await gateway.request("/files/", {
      method: "POST",
      headers: { "content-type": CONTENT_TYPE },
      body: body.replace("whole", "other"),
    });
    assert.equal(unended.status, 400);
    assert.deepEqual(gateway.files.paths, ["/other", "/whole"]);
  });

  it("refuses a body that is not a form, a form without files, and a file as the directory", async () => {
    await using gateway = await ServedGateway.start();
    assert.equal((await gateway.request("/files/", { method: "POST", body: "x" })).status, 400);
    assert.equal((await post(gateway, [{ name: "a", body: "b" }])).status, 400);
    await post(gateway, [file("a", "1")]);
    assert.equal((await post(gateway, [file("b", "1")], { path: "/files/a" })).status, 409);
  });
});
