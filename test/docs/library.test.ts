import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { describe, it } from "node:test";
import { ROOT_URL } from "../support/repository.ts";

const INDEX = new URL("client/index.ts", ROOT_URL);
const index = await readFile(INDEX, "utf8");
const page = await readFile(new URL("docs/library.md", ROOT_URL), "utf8");

/** Every exported name, with the file that defines it. */
const fileOfExport = new Map(
  [...index.matchAll(/^export (?:type )?\{([^}]*)\} from "(.+?)";$/gm)].flatMap(
    ([, names = "", file = ""]) =>
      [...names.matchAll(/(?:type )?(\w+)/g)].map(([, name = ""]) => [name, file] as const),
  ),
);

/**
 * Types in public signatures that are not public: the ports and their parts, which only tests
 * replace, and the parts of unions and of errors, which callers never write.
 */
const INTERNAL: ReadonlySet<string> = new Set([
  ...["Env", "Log", "Digest", "AshlarErrorOptions"],
  ...["SmallOperation", "HistoryVersion", "FeedEvent"],
]);

/** The text of each entry, by the name in its heading. */
const entries = new Map(
  page
    .split(/^### /m)
    .slice(1)
    .map((text) => [text.slice(0, text.indexOf("\n")), text.replace(/^## [\s\S]*/m, "")] as const),
);

/** The public members in the body of an interface or class: none for other declarations. */
async function membersOf(name: string, file: string): Promise<readonly string[]> {
  const source = await readFile(new URL(file, INDEX), "utf8");
  const pattern = new RegExp(
    `^export (?:interface|class) ${name}\\b[^{]*\\{\\n([\\s\\S]*?)^\\}`,
    "m",
  );
  const body = pattern.exec(source)?.[1] ?? "";
  const members = body.matchAll(/^ {2}(?:override )?(?:readonly |get )?([a-z]\w*)\??[(:<=]/gm);
  return [...new Set([...members].map(([, member = ""]) => member))];
}

/** The signatures of an exported declaration, without comments and bodies of methods. */
async function signaturesOf(name: string, file: string): Promise<string> {
  const source = await readFile(new URL(file, INDEX), "utf8");
  const code = source.replaceAll(/\/\*\*[\s\S]*?\*\/|\/\/.*$/gm, "");
  const start = code.search(
    new RegExp(`^export (?:interface|type|class|async function|function) ${name}\\b`, "m"),
  );
  if (start < 0) return "";
  const text = code.slice(start);
  const isBlock = /^export (?:interface|class)/.test(text);
  const end = isBlock ? text.search(/^\}/m) : text.search(/;\n(?=\S|\n|$)|^\}/m);
  return text
    .slice(0, end)
    .replaceAll(/^ {4}(?! *readonly ).*$|^ {2}(?:readonly )?#.*$|^ {2}private .*$/gm, "");
}

/** Returns the types of this project that a file declares or imports. */
async function typesIn(file: string): Promise<ReadonlySet<string>> {
  const source = await readFile(new URL(file, INDEX), "utf8");
  const imported = [...source.matchAll(/^import (?:type )?\{([^}]*)\} from "\./gm)];
  const names = imported.flatMap(([, list = ""]) => list.match(/\b[A-Z]\w*\b/g) ?? []);
  const own = [...source.matchAll(/^export (?:interface|type|class) (\w+)/gm)];
  return new Set([...names, ...own.map(([, name = ""]) => name)]);
}

describe("docs/library.md", () => {
  it("has one entry for each export of the library, and no other entry", () => {
    assert.ok(fileOfExport.size > 50, "the exports are found");
    assert.deepEqual([...entries.keys()].sort(), [...fileOfExport.keys()].sort());
    assert.equal(page.match(/^### /gm)?.length, entries.size, "no entry is repeated");
  });

  it("has every type of an exported signature, so that callers can name it", async () => {
    const missing: string[] = [];
    let typeCount = 0;
    for (const [name, file] of fileOfExport) {
      const known = await typesIn(file);
      for (const type of new Set((await signaturesOf(name, file)).match(/\b[A-Z]\w*\b/g))) {
        if (!known.has(type)) continue;
        typeCount += 1;
        if (!fileOfExport.has(type) && !INTERNAL.has(type)) missing.push(`${name}: ${type}`);
      }
    }
    assert.ok(typeCount > 100, "the signatures are found");
    assert.deepEqual(missing, []);
  });

  it("names every member of the exported interfaces and classes", async () => {
    const missing: string[] = [];
    let memberCount = 0;
    for (const [name, file] of fileOfExport) {
      for (const member of await membersOf(name, file)) {
        memberCount += 1;
        if (member === "constructor") continue;
        const isNamed = new RegExp(`\`[^\`]*\\b${member}\\b[^\`]*\``).test(entries.get(name) ?? "");
        if (!isNamed) missing.push(`${name}.${member}`);
      }
    }
    assert.ok(memberCount > 150, "the members are found");
    assert.deepEqual(missing, []);
  });

  it("links only to entries that exist", () => {
    const anchors = new Set([...entries.keys()].map((name) => name.toLowerCase()));
    const links = [...page.matchAll(/\]\(#([^)]+)\)/g)].map(([, anchor = ""]) => anchor);
    assert.deepEqual(
      links.filter((anchor) => !anchors.has(anchor)),
      [],
    );
  });
});
