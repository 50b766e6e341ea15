import { createHash } from "node:crypto";
import { displayName, type PathNames, parseEntryName } from "../../shared/base/path.ts";
import { formatCount, formatSize, formatTime } from "../../shared/display/format.ts";
import type { DirectoryEntry } from "../results.ts";
import { PAGE_SCRIPT, PAGE_STYLE } from "./page-assets.ts";
import { urlOf } from "./request-path.ts";

/**
 * Content security policy of the page: only its own script and style, only requests to this
 * gateway.
 */
export const PAGE_POLICY = [
  "default-src 'none'",
  `script-src ${hashSource(PAGE_SCRIPT)}`,
  `style-src ${hashSource(PAGE_STYLE)}`,
  "connect-src 'self'",
  "form-action 'self'",
  "base-uri 'none'",
  "frame-ancestors 'none'",
].join("; ");

/** Yields the HTML page of a directory: links, sizes, times, an upload form and delete buttons. */
export async function* directoryPage(
  names: PathNames,
  entries: AsyncIterable<DirectoryEntry>,
): AsyncGenerator<string> {
  const title = names.map((name) => `/${displayName(name)}`).join("") || "/";
  yield `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(title)} - Ashlar</title>
<style>${PAGE_STYLE}</style>
<h1>${breadcrumbs(names)}</h1>
${forms(names)}
<table>
<thead><tr><th>Name<th class="number">Size<th>Modified<th></thead>
<tbody>
`;
  if (names.length > 0) {
    yield `<tr><td><a href="${urlOf(names.slice(0, -1), true)}">..</a><td><td><td>\n`;
  }
  let count = 0;
  for await (const entry of entries) {
    yield row(names, entry);
    count += 1;
  }
  yield `</tbody></table>
<p>${formatCount(count, "entry", "entries")}</p>
<script>${PAGE_SCRIPT}</script>
</html>
`;
}

/** Escapes text for use between tags and in attributes in double quotes. */
function escapeHtml(text: string): string {
  const entities: Readonly<Record<string, string>> = {
    "&": "&amp;",
    "<": "&lt;",
    ">": "&gt;",
    '"': "&quot;",
    "'": "&#39;",
  };
  return text.replace(/[&<>"']/g, (character) => entities[character] ?? character);
}

/**
 * Returns the path with a link for each directory. `bdi` keeps the writing direction of a name from
 * affecting the text around it.
 */
function breadcrumbs(names: PathNames): string {
  const links = names.map((name, index) => {
    const href = urlOf(names.slice(0, index + 1), true);
    return `<a href="${href}"><bdi>${escapeHtml(displayName(name))}</bdi></a>`;
  });
  return [`<a href="${urlOf([], true)}">ashlar</a>`, ...links].join(" / ");
}

/**
 * Returns the forms of the page. The upload form works without the script and returns to the page.
 */
function forms(names: PathNames): string {
  const action = urlOf(names, true);
  return `<form id="upload" method="post" enctype="multipart/form-data" action="${action}">
<label><input type="checkbox" name="replace"> replace existing files</label>
<input type="file" name="file" multiple required>
<button>Upload</button>
<progress hidden max="1" value="0"></progress>
</form>
<form id="make-directory" action="${action}" hidden>
<input name="name" required placeholder="new directory" aria-label="new directory">
<button>Make</button>
</form>
<p role="status" id="message"></p>`;
}

function row(names: PathNames, { name, attributes }: DirectoryEntry): string {
  const isDirectory = attributes.kind === "directory";
  const href = urlOf([...names, parseEntryName(name)], isDirectory);
  const shown = escapeHtml(displayName(name)) + (isDirectory ? "/" : "");
  const size = attributes.kind === "file" ? formatSize(attributes.sizeBytes, true) : "";
  const time = formatTime(attributes.mtimeMs);
  const actions = isDirectory ? "" : `<a href="${href}?download">download</a> `;
  return (
    `<tr><td><a href="${href}"><bdi>${shown}</bdi></a>` +
    `<td class="number">${size}<td><time datetime="${time}">${time.slice(0, 16).replace("T", " ")}</time>` +
    `<td>${actions}<button class="delete" hidden data-href="${href}">delete</button>\n`
  );
}

function hashSource(text: string): string {
  return `'sha256-${createHash("sha256").update(text).digest("base64")}'`;
}
