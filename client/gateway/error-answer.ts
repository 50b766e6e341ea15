import type { Context } from "koa";
import { AshlarError, ERROR_CODES, toErrorData } from "../../shared/base/errors.ts";
import { displayName, type PathNames } from "../../shared/base/path.ts";
import { closeAfterUnreadBody } from "../../shared/platform/http-errors.ts";
import { escapeHtml, htmlPage, PAGE_POLICY, PAGE_TYPE } from "./html.ts";
import { FILES_ROOT, parseRequestPath, parseRequestTarget, urlOf } from "./request-path.ts";

/** Seconds after which a client may repeat a request that was refused for the load. */
const RETRY_AFTER_SECONDS = 1;
/** Headers of the representation that a handler may have set before it failed. */
const REPRESENTATION_HEADERS = [
  "Accept-Ranges",
  "Content-Disposition",
  "Content-Range",
  "ETag",
  "Last-Modified",
];

/**
 * Writes the response to a request that failed: the status of the error code, the error as JSON or as
 * a page for a browser, and Retry-After if a repetition can succeed. A request beyond the limit of
 * its client has status 429.
 *
 * @param status replaces the status of the error code
 */
export function answerError(context: Context, error: unknown, status?: number): void {
  for (const name of REPRESENTATION_HEADERS) context.remove(name);
  const data = toErrorData(error);
  const { httpStatus, retry } = ERROR_CODES[data.code];
  const isOwnLimit = error instanceof AshlarError && error.details["limit"] === "client";
  context.status = status ?? (isOwnLimit ? 429 : httpStatus);
  if (context.status === 429 || context.status === 503) {
    context.set("Retry-After", String(RETRY_AFTER_SECONDS));
  }
  context.set("Vary", "Accept");
  if (acceptsPage(context)) {
    const hint = data.hint === undefined ? [] : [data.hint];
    answerPage(context, `${context.status} ${data.code}`, [data.message, ...hint]);
  } else {
    context.type = "json";
    context.body = { error: { ...data, retry } };
  }
  closeAfterUnreadBody(context);
}

/** Returns whether the client is a browser that shows the response. */
export function acceptsPage(context: Context): boolean {
  return context.accepts("application/json", "text/html") === "text/html";
}

/** Writes a page with lines of text, and with links back to the directory and to the root. */
export function answerPage(context: Context, title: string, lines: readonly string[]): void {
  const paragraphs = lines.map((line) => `<p>${escapeHtml(line)}</p>`).join("\n");
  context.set("Content-Security-Policy", PAGE_POLICY);
  context.body = htmlPage(
    title,
    `<h1>${escapeHtml(title)}</h1>\n${paragraphs}\n<p>${backLinks(context)}</p>`,
  );
  context.set("Content-Type", PAGE_TYPE);
}

function backLinks(context: Context): string {
  const names = directoryOf(context);
  const links = [`<a href="${FILES_ROOT}/">all files</a>`];
  if (names.length > 0) {
    const name = displayName(names.at(-1) ?? new Uint8Array());
    links.unshift(`<a href="${urlOf(names, true)}">back to <bdi>${escapeHtml(name)}</bdi></a>`);
  }
  return links.join(" ");
}

/** Returns the directory from which a browser came: that of the path, or the path of a listing. */
function directoryOf({ req, method, status }: Context): PathNames {
  try {
    const { path, query } = parseRequestTarget(req.url ?? "");
    if (!path.startsWith(`${FILES_ROOT}/`)) return [];
    const { names } = parseRequestPath(path);
    const isListing = method === "POST" || (status !== 404 && path.endsWith("/") && query.size > 0);
    return isListing ? names : names.slice(0, -1);
  } catch {
    return [];
  }
}
