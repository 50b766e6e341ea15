import { AshlarError } from "../../shared/base/errors.ts";
import type { LogIndex, Term } from "../../shared/base/ids.ts";
import type { Random } from "../../shared/ports/random.ts";
import type { BackupHead } from "../../shared/protocol/backup-api.ts";
import { bytesToText, textToHex } from "./keys.ts";

/** 2026-01-01T00:00:00Z. */
const FIRST_MS = 1_767_225_600_000;
const SECONDS_MAX = 2 ** 32 - 1;
const SECONDS_DIGITS = 8;
const RANDOM_BYTES = 12;
const PATTERN = /^[0-9a-f]{32}$/;

/** How a position of the log, an index or a term, continues after a restore. */
interface Continuation {
  /** More positions than a cluster can use in one second. */
  readonly perSecond: number;
  /** Distance to the backup if its position is ahead of the time: more than a cluster can use. */
  readonly perEpoch: number;
}

const INDEXES: Continuation = { perSecond: 2 ** 20, perEpoch: 2 ** 40 };
/** A member refuses a term that is 2^40 above its own: see check-message.ts. */
const TERMS: Continuation = { perSecond: 2 ** 8, perEpoch: 2 ** 32 };

/**
 * Draws the id of a restore. Each restore of a cluster has its own, which all its members have in common: see
 * docs/decisions/0010.
 *
 * The id is 32 hex digits: 8 with the seconds from 2026 to the restore, then 24 random ones. The time is not
 * before that of the backup, so a clock that is behind it does no harm.
 *
 * @param nowMs the time in ms since 1970
 */
export function drawRestoreId(
  random: Random,
  { createdMs }: Pick<BackupHead, "createdMs">,
  nowMs: number,
): string {
  const seconds = Math.floor((Math.max(nowMs, createdMs) - FIRST_MS) / 1_000);
  const bounded = Math.min(Math.max(seconds, 0), SECONDS_MAX);
  const drawn = textToHex(bytesToText(random.bytes(RANDOM_BYTES)));
  return bounded.toString(16).padStart(SECONDS_DIGITS, "0") + drawn;
}

/** Checks an id that an operator has given. @throws {AshlarError} INVALID_ARGUMENT */
export function parseRestoreId(text: string): string {
  if (PATTERN.test(text)) return text;
  throw new AshlarError(
    "INVALID_ARGUMENT",
    `Cannot use the restore id: expected 32 hex digits: current value is "${text.slice(0, 40)}"`,
    { hint: "Use the id that the restore of the first master has printed" },
  );
}

/**
 * Returns the index and the term of a restored state. Both are above all that the cluster has used, also after
 * the backup and after other restores: they grow with the time, faster than a cluster can count. If the backup
 * is ahead of the time, because a clock was wrong, they continue far above the backup, at a random distance.
 *
 * @throws {AshlarError} TOO_LARGE if the range of the numbers ends
 */
export function positionAfter(
  head: Pick<BackupHead, "index" | "term">,
  restoreId: string,
): { readonly index: LogIndex; readonly term: Term } {
  return {
    index: continued(head.index, restoreId, INDEXES) as LogIndex,
    term: continued(head.term, restoreId, TERMS) as Term,
  };
}

function continued(position: number, restoreId: string, by: Continuation): number {
  const seconds = Number.parseInt(restoreId.slice(0, SECONDS_DIGITS), 16);
  const drawn = Number.parseInt(restoreId.slice(SECONDS_DIGITS, SECONDS_DIGITS + 12), 16);
  const byTime = seconds * by.perSecond + (drawn % by.perSecond);
  if (byTime > position) return byTime;
  const next = (Math.floor(position / by.perEpoch) + 1) * by.perEpoch;
  const above = next + (drawn % (by.perEpoch / 2));
  if (Number.isSafeInteger(above)) return above;
  throw new AshlarError("TOO_LARGE", "Cannot restore the backup: no higher index is left");
}
