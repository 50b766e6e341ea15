import { AshlarError } from "../base/errors.ts";

export interface HostAndPort {
  readonly host: string;
  readonly port: number;
}

/** Reads "host:port"; an IPv6 host stands in brackets. @throws {AshlarError} INVALID_ARGUMENT */
export function parseAddress(address: string): HostAndPort {
  const match = /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(address);
  const port = Number(match?.[3]);
  const host = match?.[1] ?? match?.[2];
  if (host === undefined || port > 65_535) {
    throw new AshlarError(
      "INVALID_ARGUMENT",
      `Cannot use the address "${address}": expected host:port, or [host]:port for IPv6`,
    );
  }
  return { host, port };
}

/** "host:port", an IPv6 host in brackets. */
export function formatAddress(host: string, port: number): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}
