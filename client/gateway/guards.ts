import type { Context, Middleware } from "koa";
import { AshlarError } from "../../shared/base/errors.ts";
import { parseAddress } from "../../shared/display/addresses.ts";
import type { GatewayConfig } from "./config.ts";

const SAFE_METHODS: readonly string[] = ["GET", "HEAD", "OPTIONS"];
const LOOPBACK = /^(127\.\d+\.\d+\.\d+|::1|localhost)$/i;
const IP_ADDRESS = /^(\d+\.\d+\.\d+\.\d+|\[[0-9a-f:.]+\])$/i;

/** Headers of every response. A handler may put a stricter policy in. */
export function securityHeaders(): Middleware {
  return async (context, next) => {
    context.set({
      "X-Content-Type-Options": "nosniff",
      "X-Frame-Options": "DENY",
      "Referrer-Policy": "same-origin",
      "Cross-Origin-Resource-Policy": "same-origin",
      "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    });
    await next();
  };
}

/**
 * Refuses what a page of another site makes a browser send: the gateway has no log-in, so a request
 * that changes something must come from its own page or from no browser at all.
 *
 * @throws {AshlarError} PERMISSION_DENIED
 */
export function refuseForeignOrigins(): Middleware {
  return async (context, next) => {
    if (!SAFE_METHODS.includes(context.method) && isForeign(context)) {
      throw new AshlarError(
        "PERMISSION_DENIED",
        `Cannot ${context.method} ${context.path}: the request comes from a page of another site`,
      );
    }
    await next();
  };
}

/** Sec-Fetch-Site, and Origin for browsers that do not send it. Programs send neither. */
function isForeign(context: Context): boolean {
  const site = context.get("Sec-Fetch-Site");
  if (site !== "") return site !== "same-origin" && site !== "none";
  const origin = context.get("Origin");
  if (origin === "") return false;
  return origin.replace(/^https?:\/\//, "") !== context.get("Host");
}

/**
 * On the loopback only names of this machine are answered: else a foreign page could have its own
 * name resolved to 127.0.0.1 and become the gateway's origin (DNS rebinding).
 *
 * @throws {AshlarError} PERMISSION_DENIED
 */
export function refuseForeignHosts({ listen, hostNames }: GatewayConfig): Middleware {
  const isLocal = LOOPBACK.test(parseAddress(listen).host);
  return async (context, next) => {
    const name = context.get("Host").replace(/:\d+$/, "");
    const isKnown = LOOPBACK.test(name) || IP_ADDRESS.test(name) || hostNames.includes(name);
    if (isLocal && name !== "" && !isKnown) {
      throw new AshlarError(
        "PERMISSION_DENIED",
        `Cannot answer as "${name.slice(0, 100)}": expected localhost or an IP address`,
        { hint: "--host-names lists names by which the gateway may be reached" },
      );
    }
    await next();
  };
}
