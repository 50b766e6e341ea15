import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { describe, it } from "node:test";
import { ROOT_URL } from "../support/repository.ts";

const FOLDERS = ["master", "chunkserver", "client", "shared", "scripts", "test", "docs"];
const page = await readFile(new URL("CONTRIBUTING.md", ROOT_URL), "utf8");
/** The text between backticks, outside of code blocks. */
const spans = [...page.replace(/^```[\s\S]*?^```/gm, "").matchAll(/`([^`\n]+)`/g)].map(
  ([, text = ""]) => text,
);

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
    const paths = await allPaths();
    const links = [...page.matchAll(/\]\((?!https?:)([^)#]+)/g)].map(([, target = ""]) => target);
    const named = spans.filter((text) =>
      /^\w[\w.*/-]*(?:\.(?:ts|mjs|json|md)|\/[a-z-]*)$/.test(text),
    );
    assert.ok(named.length > 40, "the page names files");
    const missing = [...named, ...links].filter((name) => {
      const pattern = name.replaceAll(".", "\\.").replaceAll("*", "[^/]*").replace(/\/$/, "");
      return !paths.some((path) => new RegExp(`/${pattern}$`).test(path));
    });
    assert.deepEqual(missing, []);
  });

  it("names only identifiers that the sources contain", async () => {
    const paths = (await allPaths()).filter((path) => /\.(?:ts|mjs)$/.test(path));
    const files = await Promise.all(
      paths
        .filter((path) => FOLDERS.includes(path.split("/")[1] ?? ""))
        .map((path) => readFile(new URL(`.${path}`, ROOT_URL), "utf8")),
    );
    const source = [...files, await readFile(new URL("package.json", ROOT_URL), "utf8")].join("\n");
    const identifiers = spans
      .filter((text) => /^[A-Za-z_]+(?:\.(?!ts|mjs|json|md)[a-z]\w*)?(?:\(.*\))?$/.test(text))
      .map((text) => text.replace(/\(.*\)$/, ""));
    assert.ok(identifiers.length > 20, "the page names identifiers");
    const missing = identifiers.filter((name) => !source.includes(name));
    assert.deepEqual(missing, []);
  });
});
