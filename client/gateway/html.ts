import { createHash } from "node:crypto";
import { PAGE_SCRIPT, PAGE_STYLE } from "./page-assets.ts";

/** Content security policy of all pages: only their own script and style, only this gateway. */
export const PAGE_POLICY = [
  "default-src 'none'",
  `script-src ${hashSource(PAGE_SCRIPT)}`,
  `style-src ${hashSource(PAGE_STYLE)}`,
  "img-src 'self'",
  "connect-src 'self'",
  "form-action 'self'",
  "base-uri 'none'",
  "frame-ancestors 'none'",
].join("; ");

/** Content-Type of all pages. */
export const PAGE_TYPE = "text/html; charset=utf-8";

/** Returns a page with a title, its content as HTML, and the style of all pages. */
export function htmlPage(title: string, content: string): string {
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(title)} - Ashlar</title>
<style>${PAGE_STYLE}</style>
${content}
</html>
`;
}

/** Escapes text for use between tags and in attributes in double quotes. */
export function escapeHtml(text: string): string {
  const entities: Readonly<Record<string, string>> = {
    "&": "&amp;",
    "<": "&lt;",
    ">": "&gt;",
    '"': "&quot;",
    "'": "&#39;",
  };
  return text.replace(/[&<>"']/g, (character) => entities[character] ?? character);
}

function hashSource(text: string): string {
  return `'sha256-${createHash("sha256").update(text).digest("base64")}'`;
}
