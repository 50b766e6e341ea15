import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { describe, it } from "node:test";
import {
  DamageFound,
  EXIT_STATUS,
  exitStatusOf,
  PartialFailure,
} from "../../../client/cli/exit-status.ts";
import { HELP_TOPICS } from "../../../client/cli/help-topics.ts";
import { AshlarError, ERROR_CODES, type ErrorTraits } from "../../../shared/base/errors.ts";
import { ROOT_URL } from "../../support/repository.ts";

const PAGE = new URL("docs/exit-codes.md", ROOT_URL);

describe("exit statuses", () => {
  it("are listed in docs/exit-codes.md with their error codes", async () => {
    const page = await readFile(PAGE, "utf8");
    const rows = [...page.matchAll(/^\| (\d+) \| (\w+) \|.*\| ([^|]*) \|$/gm)];
    const documented = rows.map(([, status, name, codes]) => `${status} ${name}: ${codes}`);
    const traits = Object.entries<ErrorTraits>(ERROR_CODES);
    const expected = Object.entries(EXIT_STATUS).map(([name, status]) => {
      const codes = traits.flatMap(([code, { exitStatus }]) => (exitStatus === status ? code : []));
      return `${status} ${name}: ${codes.join(", ") || "—"}`;
    });
    assert.deepEqual(documented, expected);
  });

  it("exist for every error code", () => {
    const known = new Set<number>(Object.values(EXIT_STATUS));
    for (const [code, { exitStatus }] of Object.entries(ERROR_CODES)) {
      assert.ok(known.has(exitStatus), code);
    }
  });

  it("are listed in `ashlar help exit-codes`", () => {
    const topic = HELP_TOPICS.find(({ name }) => name === "exit-codes");
    const listed = [...(topic?.text ?? "").matchAll(/^ +(\d+) {2}/gm)].map(([, status]) =>
      Number(status),
    );
    assert.deepEqual(listed, Object.values(EXIT_STATUS));
  });

  it("are derived from the error that a command throws", () => {
    assert.equal(exitStatusOf(new AshlarError("NO_LEADER", "None")), 5);
    assert.equal(exitStatusOf(new PartialFailure(2)), 8);
    assert.equal(exitStatusOf(new DamageFound("Found")), 7);
    assert.equal(exitStatusOf(new TypeError("A bug")), 1);
  });
});
