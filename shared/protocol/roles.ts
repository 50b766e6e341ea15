/** The role of a process. Both ends of a connection state theirs in the handshake. */
export type Role = "master" | "chunkserver" | "client";

/*
 * The roles that may call a method. A server refuses other callers with WRONG_ROLE. Clients and masters
 * state their role and do not prove it: this protects against mistakes, and not against an attacker who can
 * connect. A chunkserver proves itself in `fleet.register` (docs/decisions/0019).
 */

export const ANY_ROLE: readonly Role[] = ["master", "chunkserver", "client"];
export const BY_CLIENTS: readonly Role[] = ["client"];
export const BY_CHUNKSERVERS: readonly Role[] = ["chunkserver"];
export const BY_MASTERS: readonly Role[] = ["master"];
/** Readers and writers of chunks: clients, and chunkservers that copy. */
export const BY_CHUNK_USERS: readonly Role[] = ["client", "chunkserver"];
/** Operators connect as clients. */
export const BY_OPERATORS: readonly Role[] = ["client"];
