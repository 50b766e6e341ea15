import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { describe, it } from "node:test";
import { ROOT_URL } from "../support/repository.ts";

const FOLDERS = ["master", "chunkserver", "client", "shared", "scripts", "test", "docs"];
const FILE_NAMES = /^\w[\w.*/-]*(?:\.(?:ts|mjs|json|md)|\/[a-z-]*)$/;
/** Files of a data directory, which the repository does not have. */
const DATA_FILES = ["current.json"];
const page = await readFile(new URL("CONTRIBUTING.md", ROOT_URL), "utf8");
const architecture = await readFile(new URL("ARCHITECTURE.md", ROOT_URL), "utf8");

/** Returns the texts between backticks, outside of code blocks. */
const spansOf = (text: string): string[] =>
  [...text.replace(/^```[\s\S]*?^```/gm, "").matchAll(/`([^`\n]+)`/g)].map(([, span = ""]) => span);

/** Returns the names of files and folders in a page that do not exist. */
async function missingFrom(text: string): Promise<readonly string[]> {
  const paths = await allPaths();
  const links = [...text.matchAll(/\]\((?!https?:)([^)#]+)/g)].map(([, target = ""]) => target);
  const named = spansOf(text).filter((span) => FILE_NAMES.test(span) && !DATA_FILES.includes(span));
  assert.ok(named.length > 40, "the page names files");
  return [...named, ...links].filter((name) => {
    const pattern = name.replaceAll(".", "\\.").replaceAll("*", "[^/]*").replace(/\/$/, "");
    return !paths.some((path) => new RegExp(`/${pattern}$`).test(path));
  });
}

/** Paths of all files and folders, with "/" before each name. */
async function allPaths(): Promise<readonly string[]> {
  const root = await readdir(ROOT_URL);
  const below = await Promise.all(
    FOLDERS.map(async (folder) => {
      const names = await readdir(new URL(folder, ROOT_URL), { recursive: true });
      return names.map((name) => `${folder}/${name.replaceAll("\\", "/")}`);
    }),
  );
  return [...root, ...below.flat()].map((path) => `/${path}`);
}

describe("CONTRIBUTING.md", () => {
  it("names only files and folders that exist", async () => {
    assert.deepEqual(await missingFrom(page), []);
  });

  it("names only identifiers that the sources contain", async () => {
    const paths = (await allPaths()).filter((path) => /\.(?:ts|mjs)$/.test(path));
    const files = await Promise.all(
      paths
        .filter((path) => FOLDERS.includes(path.split("/")[1] ?? ""))
        .map((path) => readFile(new URL(`.${path}`, ROOT_URL), "utf8")),
    );
    const source = [...files, await readFile(new URL("package.json", ROOT_URL), "utf8")].join("\n");
    const identifiers = spansOf(page)
      .filter((text) => /^[A-Za-z_]+(?:\.(?!ts|mjs|json|md)[a-z]\w*)?(?:\(.*\))?$/.test(text))
      .map((text) => text.replace(/\(.*\)$/, ""));
    assert.ok(identifiers.length > 20, "the page names identifiers");
    const missing = identifiers.filter((name) => !source.includes(name));
    assert.deepEqual(missing, []);
  });
});

describe("ARCHITECTURE.md", () => {
  it("names only files and folders that exist", async () => {
    assert.deepEqual(await missingFrom(architecture), []);
  });

  it("names a file of each folder to start with", async () => {
    const rows = [...architecture.matchAll(/^\| `([a-z/-]+)` \|[^|]*\| (`[^|]+) \|$/gm)];
    assert.ok(rows.length > 20, "the page has a table of the folders");
    const paths = await allPaths();
    for (const [, folder = "", files = ""] of rows) {
      for (const name of spansOf(files)) {
        const path = name.includes("/") ? `/${name}` : `/${folder.replace(/\/$/, "")}/${name}`;
        assert.ok(paths.includes(path), path);
      }
    }
  });
});
