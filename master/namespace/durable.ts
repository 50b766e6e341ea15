import { equalBytes } from "../../shared/base/bytes.ts";
import { AshlarError, isAshlarError } from "../../shared/base/errors.ts";
import type { LogIndex, Term } from "../../shared/base/ids.ts";
import type { OrderedReader, StoreChange } from "../../shared/ports/ordered-store.ts";
import { StateHash } from "../../shared/protocol/state-hash.ts";
import { checkFeatureLevel } from "./feature-levels.ts";
import { META_KEY, textToBytes } from "./keys.ts";
import type { AppliedRecord } from "./records.ts";
import { checkFormats } from "./row-formats.ts";
import { APPLIED, FEATURE_LEVEL, FORMATS, MEMBERSHIP } from "./tables.ts";

/** The log position of the state in a store, with the hash of the state. */
export interface DurableState {
  readonly index: LogIndex;
  readonly term: Term;
  /** The encoded membership at `index`. Empty before the first membership entry. */
  readonly membership: Uint8Array;
  /** `StateHash` of the rows in the store, without the rows that store this object. */
  readonly stateHash: Uint8Array;
}

/**
 * Version of the format of all tables together. A program opens only the version that it writes.
 */
const FORMAT_VERSION = 1;

const EMPTY_STATE: DurableState = {
  index: 0 as LogIndex,
  term: 0 as Term,
  membership: new Uint8Array(),
  stateHash: new StateHash().bytes(),
};

/**
 * Returns the rows that record the log position of the store. The caller commits these rows
 * together with the changes up to this position.
 */
export function durableChanges({
  index,
  term,
  membership,
  stateHash,
}: DurableState): StoreChange[] {
  const unchecked = { formatVersion: FORMAT_VERSION, index, term, stateHash, checksum: null };
  const applied = { ...unchecked, checksum: checksumOf(unchecked, membership) };
  return [
    { key: textToBytes(META_KEY.applied), value: APPLIED.encode(applied, META_KEY.applied) },
    {
      key: textToBytes(META_KEY.membership),
      value: MEMBERSHIP.encode(membership, META_KEY.membership),
    },
  ];
}

/**
 * Reads the position of the store. An empty store has index 0.
 *
 * @throws {AshlarError} STORE_CORRUPT if the rows are missing, damaged or do not match their
 *   checksum; VERSION_MISMATCH
 */
export function readDurable(store: OrderedReader): DurableState {
  try {
    return readRows(store);
  } catch (error) {
    if (isAshlarError(error)) throw error;
    throw corrupt("expected rows that can be decoded", error);
  }
}

function readRows(store: OrderedReader): DurableState {
  const appliedBytes = store.get(textToBytes(META_KEY.applied));
  const membershipBytes = store.get(textToBytes(META_KEY.membership));
  if (appliedBytes === undefined || membershipBytes === undefined) {
    if (isEmpty(store)) return EMPTY_STATE;
    throw corrupt("expected a row with the index of the state: the store has only other rows");
  }
  const applied = APPLIED.decode(appliedBytes, META_KEY.applied);
  const { formatVersion, index, term, checksum } = applied;
  checkFormatVersion(formatVersion);
  const membership = MEMBERSHIP.decode(membershipBytes, META_KEY.membership);
  if (checksum !== null && !equalBytes(checksum, checksumOf(applied, membership))) {
    throw corrupt(
      "expected intact rows for the index and the members: their checksum does not match",
    );
  }
  const formatBytes = store.get(textToBytes(META_KEY.formats));
  if (formatBytes !== undefined) checkFormats(FORMATS.decode(formatBytes, META_KEY.formats));
  const levelBytes = store.get(textToBytes(META_KEY.featureLevel));
  if (levelBytes !== undefined) {
    checkFeatureLevel(FEATURE_LEVEL.decode(levelBytes, META_KEY.featureLevel));
  }
  const stateHash = applied.stateHash ?? hashRows(store).bytes();
  return { index, term: term as Term, membership, stateHash };
}

/**
 * Returns the checksum of the rows that record the position. The state hash does not cover these
 * rows. Without the checksum, a flipped bit could make this member discard its log, or request
 * votes from servers that are not members of the group.
 */
function checksumOf(applied: AppliedRecord, membership: Uint8Array): Uint8Array {
  const hash = new StateHash();
  hash.add(APPLIED.encode({ ...applied, checksum: null }, META_KEY.applied), membership);
  return hash.bytes();
}

/** Checks the format version of a store or a backup. @throws {AshlarError} VERSION_MISMATCH */
export function checkFormatVersion(formatVersion: number): void {
  if (formatVersion === FORMAT_VERSION) return;
  throw new AshlarError(
    "VERSION_MISMATCH",
    `Cannot open the namespace: expected format ${FORMAT_VERSION}: current value is ${formatVersion}`,
  );
}

/** Computes the hash of all rows of a store. Takes seconds for a million files. */
export function hashRows(store: OrderedReader): StateHash {
  const hash = new StateHash();
  const all = { start: Uint8Array.of(0), end: Uint8Array.of(255) };
  for (const { key, value } of store.range(all)) hash.add(key, value);
  return hash;
}

function isEmpty(store: OrderedReader): boolean {
  const start = Uint8Array.of(0);
  const end = Uint8Array.of(255);
  for (const _row of store.range({ start, end, limit: 1 })) return false;
  return true;
}

function corrupt(reason: string, cause?: unknown): AshlarError {
  return new AshlarError("STORE_CORRUPT", `Cannot open the namespace: ${reason}`, {
    cause,
    hint: "The master rebuilds the store from its log or from another master",
  });
}
