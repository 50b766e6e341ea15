import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { describe, it } from "node:test";
import { ERROR_CODES, type ErrorTraits } from "../../shared/base/errors.ts";
import { ROOT_URL } from "../support/repository.ts";

describe("docs/errors.md", () => {
  it("has one heading per code, in the order of the table, with the code's traits", async () => {
    const page = await readFile(new URL("docs/errors.md", ROOT_URL), "utf8");
    const sections = page.split(/^## /m).slice(1);
    const documented = sections.map((section) => section.split("\n").slice(0, 3).join("|"));
    const expected = Object.entries<ErrorTraits>(ERROR_CODES).map(
      ([code, traits]) =>
        `${code}||HTTP ${traits.httpStatus} · ${traits.errno} · retry: ${traits.retry} · exit status ${traits.exitStatus}`,
    );
    assert.deepEqual(documented, expected);
  });

  it("has a line of help for every code", async () => {
    const page = await readFile(new URL("docs/errors.md", ROOT_URL), "utf8");
    for (const section of page.split(/^## /m).slice(1)) {
      const [code = ""] = section.split("\n");
      assert.match(section, /\nWhat helps: \S/, code);
    }
  });
});
