import { AshlarError } from "../../shared/base/errors.ts";
import type { ServerId } from "../../shared/base/ids.ts";
import type { PeerIdentity } from "../../shared/wire/rpc.ts";

/**
 * The chunkserver that has registered on each connection: a server sends reports only for itself. And the
 * chunkservers that have proved their credential. Soft state of the leader.
 */
export class Registrations {
  /** The handshake makes one identity for each connection. */
  readonly #serverIds = new WeakMap<PeerIdentity, ServerId>();
  /** The connection on which each server has registered last. */
  readonly #newest = new Map<ServerId, PeerIdentity>();
  /** A credential stays valid as long as the cluster has the server. */
  readonly #enrolled = new Set<ServerId>();
  readonly #proven = new WeakSet<PeerIdentity>();

  /**
   * Records that `serverId` has registered on the connection of `peer`.
   *
   * @param isProven whether it has proved its credential
   */
  record(peer: PeerIdentity, serverId: ServerId, isProven = false): void {
    this.#serverIds.set(peer, serverId);
    this.#newest.set(serverId, peer);
    if (isProven) {
      this.#proven.add(peer);
      this.#enrolled.add(serverId);
    } else this.#proven.delete(peer);
  }

  /** Returns whether the server that has registered on the connection has proved its credential. */
  isProven(peer: PeerIdentity): boolean {
    return this.#proven.has(peer);
  }

  /** Returns whether the server has proved its credential to this process. */
  isEnrolled(serverId: ServerId): boolean {
    return this.#enrolled.has(serverId);
  }

  /**
   * Checks that the caller is the chunkserver `serverId`, on its newest connection.
   *
   * @throws {AshlarError} NOT_FOUND before a registration on this connection, and after one on another:
   *   the server registers again; WRONG_IDENTITY if another server has registered on it
   */
  check(peer: PeerIdentity, serverId: ServerId): void {
    const registeredId = this.#serverIds.get(peer);
    const isNewest = this.#newest.get(serverId) === peer;
    if (registeredId === serverId && isNewest) return;
    if (registeredId === undefined || registeredId === serverId) {
      const where = registeredId === undefined ? "not registered on this" : "registered on another";
      throw new AshlarError(
        "NOT_FOUND",
        `Cannot accept a report of chunkserver ${serverId}: it has ${where} connection`,
      );
    }
    throw new AshlarError(
      "WRONG_IDENTITY",
      `Cannot accept a report of chunkserver ${serverId}: expected reports of ${registeredId}, which has registered on this connection`,
    );
  }
}
