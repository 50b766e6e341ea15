import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { describe, it } from "node:test";
import { raftFetchState } from "../../master/driver/fetch-state.ts";
import { methodNames } from "../../scripts/fuzz/requests.ts";
import { ANY_ROLE, type Role } from "../../shared/protocol/roles.ts";
import { moduleUrl, ROOT_URL } from "../support/repository.ts";

const PROTOCOL = new URL("shared/protocol/", ROOT_URL);

interface Method {
  readonly kind: string;
  readonly name: string;
  readonly callers: readonly Role[];
}

/** Returns whether an export is a method. Exported schemas have other kinds. */
function isMethod(value: unknown): value is Method {
  if (typeof value !== "object" || value === null || !("kind" in value)) return false;
  return value.kind === "call" || value.kind === "stream";
}

/** Returns the callers of each method and the file that defines it, by the method's name. */
async function allMethods(): Promise<Map<string, string>> {
  const described = ({ callers }: Method, file: string): string =>
    `${callers.length === ANY_ROLE.length ? "any" : callers.join(", ")}: ${file}`;
  const methods = new Map([
    [raftFetchState.name, described(raftFetchState, "master/driver/fetch-state.ts")],
  ]);
  for (const file of (await readdir(PROTOCOL)).filter((name) => name.endsWith("-api.ts"))) {
    const module: Record<string, unknown> = await import(moduleUrl(`shared/protocol/${file}`));
    for (const value of Object.values(module))
      if (isMethod(value)) methods.set(value.name, described(value, file));
  }
  return methods;
}

describe("docs/wire-protocol.md", () => {
  it("lists every method, and no other, with its callers and the file that defines it", async () => {
    const page = await readFile(new URL("docs/wire-protocol.md", ROOT_URL), "utf8");
    const documented = new Map<string, string>();
    for (const row of page.matchAll(
      /^\| (`[a-z]+\.[a-z].*?) \| (?:call|stream) \| (.+?) \| .* \| `(.+?)` \|$/gm,
    )) {
      for (const [, name = ""] of (row[1] ?? "").matchAll(/`(.+?)`/g))
        documented.set(name, `${row[2]}: ${row[3]}`);
    }
    assert.deepEqual(new Map([...documented].sort()), new Map([...(await allMethods())].sort()));
  });

  it("has the methods of which the fuzzer sends requests", async () => {
    assert.deepEqual(methodNames().sort(), [...(await allMethods()).keys()].sort());
  });
});
