import { displayName, type PathNames, parseEntryName } from "../../shared/base/path.ts";
import { formatCount, formatSize, formatTime } from "../../shared/display/format.ts";
import type { DirectoryEntry } from "../results.ts";
import type { ListingPage } from "./directory-listing.ts";
import { escapeHtml, htmlPage } from "./html.ts";
import { defaultOrder, type ListingQuery, listingUrl, type SortKey } from "./listing-query.ts";
import { mediaTypeOf } from "./media-type.ts";
import { PAGE_SCRIPT } from "./page-assets.ts";
import { urlOf } from "./request-path.ts";

/** Content of the page of a directory. */
export interface DirectoryView {
  readonly names: PathNames;
  readonly query: ListingQuery;
  readonly page: ListingPage;
  /** Number of all entries of the directory. */
  readonly entryCount: number;
  /** Explanation of a listing that differs from the requested one. Empty: none. */
  readonly notice: string;
}

/** Returns the HTML page of a directory: links, sizes, times, an upload form and delete buttons. */
export function directoryPage(view: DirectoryView): string {
  const { names, page } = view;
  const title = names.map((name) => `/${displayName(name)}`).join("") || "/";
  const parent = `<tr><td><a href="${urlOf(names.slice(0, -1), true)}">..</a><td><td class="time"><td>\n`;
  const rows = page.entries.map((entry) => row(names, entry));
  const content = `<h1>${breadcrumbs(names)}</h1>
${forms(names)}
${filterForm(view)}
<table>
<thead><tr>${heading(view, "name", "Name")}${heading(view, "size", "Size")}${heading(view, "time", "Modified")}<th class="actions"></thead>
<tbody>
${names.length > 0 ? parent : ""}${rows.join("")}</tbody></table>
${pageLinks(view)}
<script>${PAGE_SCRIPT}</script>`;
  return htmlPage(title, content);
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
</form>
<form id="make-directory" action="${action}" hidden>
<input name="name" required placeholder="new directory" aria-label="new directory">
<button>Make</button>
</form>
<p role="status" id="message"></p>
<ul id="uploads"></ul>
<dialog id="preview"><form method="dialog"><b id="preview-name"></b> <button>Close</button></form><div id="preview-content"></div></dialog>`;
}

function filterForm({ names, query, notice }: DirectoryView): string {
  const { sort, order, filter } = query;
  const hidden = [
    ...(sort === "name" ? [] : [`<input type="hidden" name="sort" value="${sort}">`]),
    ...(order === defaultOrder(sort)
      ? []
      : [`<input type="hidden" name="order" value="${order}">`]),
  ];
  const all = listingUrl(names, { ...query, filter: "", cursor: null });
  return `<form method="get" action="${urlOf(names, true)}">${hidden.join("")}
<input type="search" name="filter" value="${escapeHtml(filter)}" placeholder="part of a name" aria-label="part of a name">
<button>Filter</button>${filter === "" ? "" : ` <a href="${escapeHtml(all)}">all names</a>`}
</form>${notice === "" ? "" : `\n<p role="note">${escapeHtml(notice)}</p>`}`;
}

/** Returns the head of a column, a link that sorts by it or, if it does, reverses the order. */
function heading({ names, query }: DirectoryView, sort: SortKey, text: string): string {
  const isCurrent = query.sort === sort;
  const reverse = query.order === "asc" ? "desc" : "asc";
  const order = isCurrent ? reverse : defaultOrder(sort);
  const href = escapeHtml(listingUrl(names, { ...query, sort, order, cursor: null }));
  const direction = query.order === "asc" ? "ascending" : "descending";
  const arrow = query.order === "asc" ? "\u2191" : "\u2193";
  const mark = isCurrent ? ` aria-sort="${direction}"` : "";
  return `<th class="${sort}"${mark}><a href="${href}">${text}${isCurrent ? ` ${arrow}` : ""}</a>`;
}

function pageLinks({ names, query, page, entryCount }: DirectoryView): string {
  const shown = formatCount(page.entries.length, "entry", "entries");
  const isAll = query.cursor === null && page.next === null && query.filter === "";
  const count = isAll ? shown : `${shown} on this page, ${entryCount} in the directory`;
  const link = (rel: string, cursor: ListingQuery["cursor"], text: string): string =>
    ` <a rel="${rel}" href="${escapeHtml(listingUrl(names, { ...query, cursor }))}">${text}</a>`;
  const first = query.cursor === null ? "" : link("first", null, "first page");
  const next = page.next === null ? "" : link("next", page.next, "next page");
  return `<p>${count}${first}${next}</p>`;
}

function row(names: PathNames, entry: DirectoryEntry): string {
  const { name, attributes } = entry;
  const isDirectory = attributes.kind === "directory";
  const href = urlOf([...names, parseEntryName(name)], isDirectory);
  const shown = escapeHtml(entry.displayName) + (isDirectory ? "/" : "");
  const size = attributes.kind === "file" ? formatSize(attributes.sizeBytes, true) : "";
  const time = formatTime(attributes.mtimeMs);
  const kind = isDirectory ? null : previewKind(entry.displayName);
  const preview =
    kind === null ? "" : `<button class="preview" hidden data-kind="${kind}">preview</button> `;
  const actions = isDirectory ? "" : `${preview}<a href="${href}?download">download</a> `;
  return (
    `<tr><td><a href="${href}"><bdi>${shown}</bdi></a>` +
    `<td class="size">${size}<td class="time"><time datetime="${time}">${time.slice(0, 16).replace("T", " ")}</time>` +
    `<td class="actions">${actions}<button class="delete" hidden data-href="${href}">delete</button>\n`
  );
}

/** Types of text that the IANA table does not call text. */
const TEXT_TYPE = /^(text\/|application\/(json|xml|javascript|toml|yaml|x-sh|sql)$)|\+(json|xml)$/;

/** Returns how the page can show a file, judged by its name; null if it cannot. */
function previewKind(name: string): "image" | "text" | null {
  const [type = ""] = mediaTypeOf(name).split(";");
  if (type.startsWith("image/")) return "image";
  return TEXT_TYPE.test(type) ? "text" : null;
}
