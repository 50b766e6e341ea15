import assert from "node:assert/strict";
import { pipeline } from "node:stream/promises";
import { describe, it } from "node:test";
import busboy from "busboy";
import fc from "fast-check";
import {
  decodeFormName,
  formBoundary,
  rewriteFormHeaders,
} from "../../../client/gateway/form-headers.ts";
import { isAshlarError } from "../../../shared/base/errors.ts";

interface Sent {
  readonly name: string;
  readonly body: string;
}

function formOf(parts: readonly Sent[], { preamble = "", epilogue = "\r\n" } = {}): string {
  const texts = parts.map(
    ({ name, body }) =>
      `\r\n--b0\r\nContent-Disposition: form-data; name="f"; filename="${name}"\r\n\r\n${body}`,
  );
  return `${preamble}${texts.join("")}\r\n--b0--${epilogue}`.replace(/^\r\n/, "");
}

/** Yields `text` in parts of the given sizes, again and again. */
async function* inParts(text: string, sizes: readonly number[]): AsyncGenerator<Buffer> {
  const bytes = Buffer.from(text, "latin1");
  let at = 0;
  for (let turn = 0; at < bytes.length; turn += 1) {
    const size = sizes[turn % sizes.length] ?? 1;
    yield bytes.subarray(at, at + size);
    at += size;
  }
}

/** Reads a form with busboy. */
async function readForm(source: AsyncIterable<Buffer>): Promise<Sent[]> {
  const parts: Array<Promise<Sent>> = [];
  const parser = busboy({
    headers: { "content-type": 'multipart/form-data; boundary="b0"' },
    defParamCharset: "latin1",
    preservePath: true,
  });
  parser.on("file", (_field, stream, { filename }) => {
    const name = decodeFormName(filename ?? "").toString("latin1");
    const part = stream.toArray().then((body) => ({ name, body: latin1(body) }));
    part.catch(() => {}); // The pipeline reports the error.
    parts.push(part);
  });
  await pipeline(rewriteFormHeaders(source, "b0"), parser);
  return Promise.all(parts);
}

function latin1(parts: readonly Buffer[]): string {
  return Buffer.concat(parts).toString("latin1");
}

async function rewritten(text: string, sizes: readonly number[]): Promise<string> {
  const parts: Buffer[] = [];
  for await (const bytes of rewriteFormHeaders(inParts(text, sizes), "b0")) parts.push(bytes);
  return latin1(parts);
}

/** Returns the name that a part with this Content-Disposition has; null for a field. */
async function filenameOf(disposition: string): Promise<string | null> {
  const text = `--b0\r\nContent-Disposition: ${disposition}\r\n\r\n1\r\n--b0--`;
  const [part] = await readForm(inParts(text, [1_000]));
  return part?.name ?? null;
}

const isInvalid = (error: unknown): boolean => isAshlarError(error, "INVALID_ARGUMENT");

const ALPHABET = ["\r", "\n", "-", "b", "0", "\0", "\xff", "x", "\r\n", "\r\n-", "\r\n--b", "--b0"];

describe("rewriteFormHeaders", () => {
  const parts = fc.array(
    fc.record(
      {
        name: fc.constantFrom("a", "b\\\\.txt\\", "c\xff\x01"),
        body: fc
          .array(fc.constantFrom(...ALPHABET), { maxLength: 30 })
          .map((pieces) => pieces.join(""))
          .filter((body) => !`\r\n${body}`.includes("\r\n--b0")),
      },
      { noNullPrototype: true },
    ),
    { maxLength: 5 },
  );
  const sizes = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 4 });

  it("lets busboy read every form that was written, in parts of any size", async () => {
    await fc.assert(
      fc.asyncProperty(parts, sizes, async (sent, partSizes) => {
        assert.deepEqual(await readForm(inParts(formOf(sent), partSizes)), sent);
      }),
    );
  });

  it("needs no time quadratic in the length of a header", { timeout: 10_000 }, async () => {
    const sent = Array.from({ length: 100 }, () => ({ name: `${" ".repeat(14_000)}a`, body: "" }));
    const source = async function* (): AsyncGenerator<Buffer> {
      for await (const part of inParts(formOf(sent), [64 * 1024])) {
        await new Promise(setImmediate); // Otherwise the timeout cannot end the test.
        yield part;
      }
    };
    assert.deepEqual(await readForm(source()), sent);
  });

  it("rewrites the same for parts of any size", async () => {
    const text = formOf([
      { name: "a\\", body: "\r\n--b\r\n\r\n--b1\r\r" },
      { name: "\x01%22%41", body: "" },
    ]);
    const whole = await rewritten(text, [10_000]);
    assert.match(whole, /filename="a%5c"/);
    assert.match(whole, /filename="%01%22%2541"/);
    for (let size = 1; size < text.length; size += 1) {
      assert.equal(await rewritten(text, [size]), whole, `parts of ${size} bytes`);
    }
  });

  it("refuses every form that is cut off", async () => {
    const whole = formOf([{ name: "a", body: "1\r\n2" }], { epilogue: "" });
    for (let length = 0; length < whole.length; length += 1) {
      await assert.rejects(readForm(inParts(whole.slice(0, length), [7])), isInvalid);
    }
    assert.equal((await readForm(inParts(whole, [7]))).length, 1);
  });

  it("skips what precedes and follows the form", async () => {
    const text = formOf([{ name: "a", body: "1" }], { preamble: "before", epilogue: "\r\nafter" });
    assert.deepEqual(await readForm(inParts(text, [5])), [{ name: "a", body: "1" }]);
  });

  it("bounds the headers of a part, before and after they are rewritten", async () => {
    for (const name of ["n".repeat(20_000), "\x01".repeat(6_000)]) {
      await assert.rejects(readForm(inParts(formOf([{ name, body: "1" }]), [1_000])), isInvalid);
    }
    const endless = `--b0\r\nX: ${"x".repeat(100_000)}`;
    await assert.rejects(readForm(inParts(endless, [1_000])), /at most 15360 bytes/);
    const longest = "n".repeat(15_000);
    const form = formOf([{ name: longest, body: "1" }]);
    assert.deepEqual(await readForm(inParts(form, [1_000])), [{ name: longest, body: "1" }]);
  });

  it("passes on a body without a delay of more than a delimiter", async () => {
    const rewriter = rewriteFormHeaders(inParts(`${"x".repeat(100)}\r\n--b`, [50]), "b0");
    assert.deepEqual(
      latin1([(await rewriter.next()).value ?? Buffer.alloc(0)]),
      `\r\n${"x".repeat(50)}`,
    );
  });

  it("reads the ways in which programs write a name", async () => {
    const cases: ReadonlyArray<readonly [string, string | null]> = [
      ['form-data; name="f"; filename="a\\"b.txt"', 'a"b.txt'],
      ['form-data; name="f"; filename="a\\\\\\"b%22"', 'a\\"b%22'],
      ['form-data; name="f"; filename="a\\"; filename=\\"b"', 'a"; filename="b'],
      ['form-data; name="f"; filename="C:\\dir\\n"', "C:\\dir\\n"],
      ["form-data; name=f; filename=plain.txt", "plain.txt"],
      ['FORM-DATA ;\tName="f" ; FileName="x" ', "x"],
      [
        'form-data; name="f"; filename="_"; filename*=UTF-8\'\'a%22b%2522%C3%BC%FF',
        'a"b%22\xc3\xbc\xff',
      ],
      ['form-data; name="f"; filename=""', "/"],
      ['form-data; name="; filename="; filename=""', "/"],
      ['form-data; name="; filename=x"', null],
      ['form-data; name="f"', null],
    ];
    for (const [header, filename] of cases) {
      assert.equal(await filenameOf(header), filename, header);
    }
  });

  it("refuses a part that busboy would skip or read in part", async () => {
    for (const header of [
      "",
      "form-data",
      'attachment; name="f"',
      'form-data; name="f"; filename="x',
      'form-data; name="f"; filename="a"b"',
      'form-data; name="f" filename="x"',
      'form-data; name="f"; filename="x";',
      'form-data; name="f"; filename = "x"',
      'form-data; name="f"; filename=gr\xf6\xdfe',
      "form-data; name=f; filename*=koi8-r''%FC",
      "form-data; name=f; filename*=utf-8''%F",
      "form-data; name=f; filename*=utf-8''",
      'form-data; name="f";\r\n filename="x"',
    ]) {
      await assert.rejects(filenameOf(header), isInvalid, header);
    }
    for (const headers of ["\r\n", "X: 1\r\n", "no colon\r\n"]) {
      await assert.rejects(readForm(inParts(`--b0\r\n${headers}\r\n1\r\n--b0--`, [9])), isInvalid);
    }
    const other = 'X\r\nContent-Disposition: form-data; name="f"; filename="a"\r\n\r\n1\r\n--b0--';
    await assert.rejects(readForm(inParts(`--b0${other}`, [9])), isInvalid);
    assert.equal((await readForm(inParts(`--b0 \t${other.slice(1)}`, [9]))).length, 1);
  });
});

describe("formBoundary", () => {
  it("returns the boundary of a form", () => {
    assert.equal(formBoundary("multipart/form-data; boundary=a-b"), "a-b");
    assert.equal(formBoundary('Multipart/Form-Data; charset=utf-8; boundary="a b"; x=y'), "a b");
    const special = "'()+_,-./:=?";
    assert.equal(formBoundary(`multipart/form-data; boundary="${special}"; x`), special);
    assert.equal(formBoundary("multipart/form-data; boundary='()+_-./:=?; x"), "'()+_-./:=?");
    for (const type of [
      "",
      "text/plain",
      "multipart/form-data",
      "multipart/mixed; boundary=a",
      "multipart/form-data; boundary=a\\b",
      "multipart/form-data; boundary=\xe4",
      'multipart/form-data; boundary="a',
    ]) {
      assert.throws(() => formBoundary(type), /Cannot read the form/);
    }
  });
});
