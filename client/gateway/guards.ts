import type { Context, Middleware } from "koa";
import { parseAddress } from "../../shared/base/address.ts";
import { AshlarError } from "../../shared/base/errors.ts";
import type { GatewayConfig } from "./config.ts";

const SAFE_METHODS: readonly string[] = ["GET", "HEAD", "OPTIONS"];
const LOOPBACK = /^(127\.\d+\.\d+\.\d+|::1|localhost)$/i;
const IP_ADDRESS = /^(\d+\.\d+\.\d+\.\d+|\[[0-9a-f:.]+\])$/i;

/**
 * Returns a middleware that sets the security headers of every response. Handlers can override
 * them.
 */
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
 * Returns a middleware against cross-site request forgery. The gateway has no login, so a request
 * that changes something must come from a page of the gateway or from a program that is not a
 * browser. Other requests are refused with PERMISSION_DENIED.
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

/**
 * Returns whether a page of another site sent the request: by Sec-Fetch-Site, or by Origin for
 * browsers that do not send it. Other programs send neither.
 */
function isForeign(context: Context): boolean {
  const site = context.get("Sec-Fetch-Site");
  if (site !== "") return site !== "same-origin" && site !== "none";
  const origin = context.get("Origin");
  if (origin === "") return false;
  return origin.replace(/^https?:\/\//, "") !== context.get("Host");
}

/**
 * Returns a middleware against DNS rebinding: a page of another site can resolve its own name to
 * 127.0.0.1 and so get the gateway's origin. On the loopback, requests for names other than those
 * of this machine are refused with PERMISSION_DENIED.
 */
export function refuseForeignHosts({ listen, hostNames }: GatewayConfig): Middleware {
  const isLocal = LOOPBACK.test(parseAddress(listen).host);
  return async (context, next) => {
    if ((context.req.headersDistinct["host"]?.length ?? 0) > 1) {
      throw new AshlarError("INVALID_ARGUMENT", "Cannot serve a request with several Host headers");
    }
    const name = context.get("Host").replace(/:\d+$/, "");
    const isKnown = LOOPBACK.test(name) || IP_ADDRESS.test(name) || hostNames.includes(name);
    if (isLocal && name !== "" && !isKnown) {
      throw new AshlarError(
        "PERMISSION_DENIED",
        `Cannot serve the host "${name.slice(0, 100)}": expected localhost or an IP address`,
        { hint: "--host-names lists further host names of the gateway" },
      );
    }
    await next();
  };
}
