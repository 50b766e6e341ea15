import { AshlarError, isAshlarError } from "../../shared/base/errors.ts";
import type { Hasher } from "../../shared/ports/hasher.ts";
import type { Random } from "../../shared/ports/random.ts";
import {
  changeEnrolment,
  type EnrolmentStatus,
  enrolmentStatus,
  joinTokenHash,
  makeJoinToken,
  type RequestedEnrolmentChange,
} from "../../shared/protocol/enrolment-api.ts";
import type { CallOptions } from "../options.ts";
import type { MasterSession } from "./master-session.ts";

const VALID_MS_DEFAULT = 60 * 60 * 1_000;

type CloseChange = Extract<RequestedEnrolmentChange, { readonly kind: "close" }>;

/** Options of `Enrolment.makeToken`. */
export interface JoinTokenOptions extends CallOptions {
  /** Time for which the token is valid, in milliseconds, at most 30 days. Default: an hour. */
  readonly validMs?: number;
}

/** Options of `Enrolment.close`. */
export interface CloseEnrolmentOptions extends CallOptions {
  /** Closes although live chunkservers have not enrolled: they are refused from now on. */
  readonly force?: boolean;
  /**
   * Rotates the key also if the enrolment is closed, provided that this is still its version
   * (`EnrolmentStatus.keyVersion`). So operators who have seen the same version rotate it once. Needs feature
   * level 14.
   */
  readonly rotateFrom?: number;
}

/**
 * The enrolment of chunkservers. A chunkserver enrols once, with a join token or while the
 * enrolment is open, and then proves its own credential. Every method fails with VERSION_MISMATCH below
 * feature level 13, where a chunkserver needs neither.
 */
export interface Enrolment {
  status(options?: CallOptions): Promise<EnrolmentStatus>;
  /**
   * Makes a join token, with which any number of chunkservers can enrol while it is valid. A secret: the
   * masters keep only its hash.
   *
   * @throws {AshlarError} INVALID_ARGUMENT; PRECONDITION_FAILED if 64 tokens are valid
   */
  makeToken(options?: JoinTokenOptions): Promise<string>;
  /**
   * Revokes join tokens by their ids (`EnrolmentStatus.tokens`), or all. No chunkserver can enrol with them
   * afterwards; those that have enrolled stay.
   *
   * @throws {AshlarError} NOT_FOUND if there is no valid token with one of the ids: none is revoked
   */
  revokeTokens(ids: readonly string[] | "all", options?: CallOptions): Promise<EnrolmentStatus>;
  /** Lets chunkservers enrol without a token, until `close`. */
  open(options?: CallOptions): Promise<EnrolmentStatus>;
  /**
   * Ends the enrolment without a token, and rotates the key that signs intents and receipts. Does nothing
   * if it is closed, unless `rotateFrom` is given. Writes that have begun continue. After an error it can be
   * called again with the same `rotateFrom`: the key is rotated at most once.
   *
   * @throws {AshlarError} PRECONDITION_FAILED if a live chunkserver has not enrolled
   *   (`details.serverIds`), if the version of the key is not `rotateFrom` (the message names the version), or if
   *   the key was rotated three times within the lifetime of an intent;
   *   VERSION_MISMATCH if the leader runs an older version, which cannot rotate the key of a closed enrolment
   */
  close(options?: CloseEnrolmentOptions): Promise<EnrolmentStatus>;
}

/**
 * Implements `Enrolment` with calls to the leader. They are repeated after a failed attempt, because repeating a
 * change has no effect.
 */
export class ClusterEnrolment implements Enrolment {
  readonly #session: MasterSession;
  readonly #deps: { readonly random: Random; readonly hasher: Hasher };

  constructor(session: MasterSession, deps: { readonly random: Random; readonly hasher: Hasher }) {
    this.#session = session;
    this.#deps = deps;
  }

  status(options: CallOptions = {}): Promise<EnrolmentStatus> {
    return this.#session.call(enrolmentStatus, {}, options);
  }

  async makeToken(options: JoinTokenOptions = {}): Promise<string> {
    const { validMs = VALID_MS_DEFAULT, ...callOptions } = options;
    const token = makeJoinToken(this.#deps.random);
    const tokenHash = joinTokenHash(this.#deps.hasher, token);
    const change = { kind: "add-token", tokenHash, validMs } as const;
    await this.#session.call(changeEnrolment, { change }, callOptions);
    return token;
  }

  async revokeTokens(
    ids: readonly string[] | "all",
    options: CallOptions = {},
  ): Promise<EnrolmentStatus> {
    if (ids !== "all") {
      const { tokens } = await this.status(options);
      const unknown = ids.find((id) => !tokens.some((token) => token.id === id));
      if (unknown !== undefined) throw unknownToken(unknown);
    }
    const change = { kind: "revoke-tokens", ids: ids === "all" ? null : [...ids] } as const;
    return await this.#session.call(changeEnrolment, { change }, options);
  }

  open(options: CallOptions = {}): Promise<EnrolmentStatus> {
    return this.#session.call(changeEnrolment, { change: { kind: "open" } }, options);
  }

  close(options: CloseEnrolmentOptions = {}): Promise<EnrolmentStatus> {
    const { force = false, rotateFrom, ...callOptions } = options;
    const change = { kind: "close", isForced: force } as const;
    if (rotateFrom !== undefined) return this.#rotate({ ...change, rotateFrom }, callOptions);
    return this.#session.call(changeEnrolment, { change }, callOptions);
  }

  /**
   * Closes the enrolment and rotates the key once. An attempt of which the answer is lost is not repeated: the
   * repetition would be refused because of its own first attempt. The version of the key decides instead.
   */
  async #rotate(
    { rotateFrom, ...change }: CloseChange & { readonly rotateFrom: number },
    options: CallOptions,
  ): Promise<EnrolmentStatus> {
    const request = { change: { ...change, rotatesFrom: rotateFrom } };
    const after = await this.#session
      .callOnce(changeEnrolment, request, options)
      .catch((error: unknown) => this.#statusAfter(error, rotateFrom, options));
    if (after.keyVersion > rotateFrom) return after;
    throw notRotated(after);
  }

  /** Returns the status if the key was rotated although an attempt failed. @throws the error otherwise */
  async #statusAfter(
    error: unknown,
    rotateFrom: number,
    options: CallOptions,
  ): Promise<EnrolmentStatus> {
    const isUnknown = isAshlarError(error) && error.retry === "idempotent-only";
    if (!isUnknown || options.signal?.aborted === true) throw error;
    const after = await this.status(options);
    if (after.keyVersion > rotateFrom) return after;
    throw error;
  }
}

/** A leader of a version before feature level 14 ignores that the key should be rotated. */
function notRotated({ keyVersion }: EnrolmentStatus): AshlarError {
  return new AshlarError(
    "VERSION_MISMATCH",
    `Cannot rotate the chunk key: expected a version above ${keyVersion}: the leader runs an older version, which does not rotate the key of a closed enrolment`,
    { hint: 'Upgrade all masters first: docs/operations.md, "Stopping and starting"' },
  );
}

function unknownToken(id: string): AshlarError {
  return new AshlarError(
    "NOT_FOUND",
    `No such join token: ${id}: expected the id of a valid token`,
    {
      hint: "ashlar server token list",
    },
  );
}
