import { AshlarError } from "./errors.ts";

/** A TCP address. Its text is "host:port", or "[host]:port" for an IPv6 address. */
export interface SocketAddress {
  /** A host name or an IP address, without brackets. */
  readonly host: string;
  /** 0 to 65535. For a listening socket, 0 lets the operating system choose a free port. */
  readonly port: number;
}

/**
 * Brackets enclose an IPv6 address (RFC 3986, section 3.2.2), which may have a zone id
 * (RFC 4007, section 11: "fe80::1%eth0").
 */
const SOCKET_ADDRESS = /^(?:\[([0-9a-f:.]+(?:%[^\s\]]+)?)\]|([^\s:/,[\]]+)):(\d{1,5})$/i;

const PORT_MAX = 65_535;

/** Returns whether `parseAddress` accepts `text`. */
export function isAddress(text: string): boolean {
  return findAddress(text) !== null;
}

/** Parses "host:port" or "[IPv6]:port". @throws {AshlarError} INVALID_ARGUMENT */
export function parseAddress(text: string): SocketAddress {
  const address = findAddress(text);
  if (address !== null) return address;
  throw new AshlarError(
    "INVALID_ARGUMENT",
    `Cannot use the address ${JSON.stringify(text.slice(0, 80))}: ` +
      `expected host:port, or [host]:port for IPv6, with a port up to ${PORT_MAX}`,
  );
}

/** Returns the text that `parseAddress` reads. */
export function formatAddress({ host, port }: SocketAddress): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

function findAddress(text: string): SocketAddress | null {
  const match = SOCKET_ADDRESS.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  return host === undefined || port > PORT_MAX ? null : { host, port };
}
