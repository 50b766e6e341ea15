import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { formBoundary, MultipartForm } from "../../../client/gateway/multipart-form.ts";
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

/** Reads a form. Of each part only the first `pieceCountMax` pieces are read. */
async function readForm(
  source: AsyncIterable<Buffer>,
  pieceCountMax = Number.POSITIVE_INFINITY,
): Promise<Sent[]> {
  const form = new MultipartForm(source, "b0");
  const parts: Sent[] = [];
  for (let part = await form.next(); part !== null; part = await form.next()) {
    const name = Buffer.from(part.filename ?? []).toString("latin1");
    let body = "";
    let pieceCount = 0;
    if (pieceCountMax > 0) {
      for await (const bytes of part.body) {
        body += bytes.toString("latin1");
        pieceCount += 1;
        if (pieceCount >= pieceCountMax) break;
      }
    }
    parts.push({ name, body });
  }
  return parts;
}

const ALPHABET = ["\r", "\n", "-", "b", "0", "\0", "\xff", "x", "\r\n", "\r\n-", "\r\n--b", "--b0"];

describe("MultipartForm", () => {
  const parts = fc.array(
    fc.record(
      {
        name: fc.constantFrom("a", "b.txt", "c\xff"),
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

  it("reads every form that was written, in parts of any size", async () => {
    await fc.assert(
      fc.asyncProperty(parts, sizes, async (sent, partSizes) => {
        assert.deepEqual(await readForm(inParts(formOf(sent), partSizes)), sent);
      }),
    );
  });

  it("skips the rest of a part that is not read", async () => {
    await fc.assert(
      fc.asyncProperty(
        parts,
        sizes,
        fc.integer({ min: 0, max: 2 }),
        async (sent, partSizes, count) => {
          const names = (await readForm(inParts(formOf(sent), partSizes), count)).map(
            ({ name }) => name,
          );
          assert.deepEqual(
            names,
            sent.map(({ name }) => name),
          );
        },
      ),
    );
  });

  it("refuses every form that is cut off", async () => {
    const whole = formOf([{ name: "a", body: "1\r\n2" }], { epilogue: "" });
    for (let length = 0; length < whole.length; length += 1) {
      await assert.rejects(readForm(inParts(whole.slice(0, length), [7])), (error) =>
        isAshlarError(error, "INVALID_ARGUMENT"),
      );
    }
    assert.equal((await readForm(inParts(whole, [7]))).length, 1);
  });

  it("skips what precedes and follows the form", async () => {
    const text = formOf([{ name: "a", body: "1" }], { preamble: "before", epilogue: "\r\nafter" });
    assert.deepEqual(await readForm(inParts(text, [5])), [{ name: "a", body: "1" }]);
  });

  it("bounds the headers of a part", async () => {
    const text = formOf([{ name: "n".repeat(20_000), body: "1" }]);
    await assert.rejects(readForm(inParts(text, [1_000])), (error) =>
      isAshlarError(error, "INVALID_ARGUMENT"),
    );
  });

  it("reports the error of the source at every later read", async () => {
    const failed = new Error("the connection was lost");
    const source = async function* (): AsyncGenerator<Buffer> {
      yield* inParts(formOf([{ name: "a", body: "1234" }]).slice(0, -8), [1_000]);
      throw failed;
    };
    const form = new MultipartForm(source(), "b0");
    await form.next();
    await assert.rejects(form.next(), failed);
    await assert.rejects(form.next(), failed);
  });
});

describe("formBoundary", () => {
  it("returns the boundary of a form", () => {
    assert.equal(formBoundary("multipart/form-data; boundary=a-b"), "a-b");
    assert.equal(formBoundary('Multipart/Form-Data; charset=utf-8; boundary="a b"; x=y'), "a b");
    for (const type of ["", "text/plain", "multipart/form-data", "multipart/mixed; boundary=a"]) {
      assert.throws(() => formBoundary(type), /Cannot read the form/);
    }
  });
});
