import { equalBytes } from "../../shared/base/bytes.ts";
import { AshlarError, isAshlarError } from "../../shared/base/errors.ts";
import type { LogIndex, Term } from "../../shared/base/ids.ts";
import type { OrderedReader, StoreChange } from "../../shared/ports/ordered-store.ts";
import { StateHash } from "../../shared/protocol/state-hash.ts";
import { checkFeatureLevel } from "./feature-levels.ts";
import { META_KEY, textToBytes } from "./keys.ts";
import type { AppliedRecord } from "./records.ts";
import { APPLIED, FEATURE_LEVEL, MEMBERSHIP } from "./tables.ts";

/** What a store stands for. */
export interface DurableState {
  readonly index: LogIndex;
  readonly term: Term;
  /** The encoded membership at `index`; empty before the first. */
  readonly membership: Uint8Array;
  /** `StateHash` of the rows at `index`. */
  readonly stateHash: Uint8Array;
}

/** Of all tables together. A program opens only the format that it writes. */
const FORMAT_VERSION = 1;

const EMPTY_STATE: DurableState = {
  index: 0 as LogIndex,
  term: 0 as Term,
  membership: new Uint8Array(),
  stateHash: new StateHash().bytes(),
};

/** The rows that say what a store stands for. They go into the commit that makes it so. */
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
 * What the store stands for; index 0 if it is empty.
 *
 * @throws {AshlarError} STORE_CORRUPT, VERSION_MISMATCH
 */
export function readDurable(store: OrderedReader): DurableState {
  try {
    return readRows(store);
  } catch (error) {
    if (isAshlarError(error)) throw error;
    throw corrupt("expected rows that can be read: decoding failed", error);
  }
}

function readRows(store: OrderedReader): DurableState {
  const appliedBytes = store.get(textToBytes(META_KEY.applied));
  const membershipBytes = store.get(textToBytes(META_KEY.membership));
  if (appliedBytes === undefined || membershipBytes === undefined) {
    if (isEmpty(store)) return EMPTY_STATE;
    throw corrupt("expected the index that it stands for: there are rows, but none that says");
  }
  const applied = APPLIED.decode(appliedBytes, META_KEY.applied);
  const { formatVersion, index, term, checksum } = applied;
  checkFormatVersion(formatVersion);
  const membership = MEMBERSHIP.decode(membershipBytes, META_KEY.membership);
  if (checksum !== null && !equalBytes(checksum, checksumOf(applied, membership))) {
    throw corrupt("expected the index and the members that were written: their check differs");
  }
  const levelBytes = store.get(textToBytes(META_KEY.featureLevel));
  if (levelBytes !== undefined) {
    checkFeatureLevel(FEATURE_LEVEL.decode(levelBytes, META_KEY.featureLevel));
  }
  const stateHash = applied.stateHash ?? hashOf(store).bytes();
  return { index, term: term as Term, membership, stateHash };
}

/**
 * The state hash leaves out the rows that are read here, and a bit that turns over in them would have
 * this member forget its log or ask others for their votes than the group's.
 */
function checksumOf(applied: AppliedRecord, membership: Uint8Array): Uint8Array {
  const hash = new StateHash();
  hash.add(APPLIED.encode({ ...applied, checksum: null }, META_KEY.applied), membership);
  return hash.bytes();
}

/** @throws {AshlarError} VERSION_MISMATCH */
export function checkFormatVersion(formatVersion: number): void {
  if (formatVersion === FORMAT_VERSION) return;
  throw new AshlarError(
    "VERSION_MISMATCH",
    `Cannot open the namespace: expected format ${FORMAT_VERSION}: it has format ${formatVersion}`,
  );
}

/** The hash of all rows, one by one: seconds for a million files. */
export function hashOf(store: OrderedReader): StateHash {
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

function corrupt(found: string, cause?: unknown): AshlarError {
  return new AshlarError("STORE_CORRUPT", `Cannot open the namespace: ${found}`, {
    cause,
    hint: "The store is rebuilt from the log or from another master",
  });
}
