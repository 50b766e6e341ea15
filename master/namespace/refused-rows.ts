import type { LogIndex } from "../../shared/base/ids.ts";
import type { Refused } from "./command.ts";
import type { Facts } from "./refusal-reason.ts";

/*
 * The row of a refused outcome, after the version of the record:
 *
 *     false, index, code, reason, facts, details, operationIndex     from FEATURE_LEVEL_REASONS on
 *     false, index, code, words, details, operationIndex             below it
 *
 * The fields of facts and details are sorted by name, so that the bytes do not depend on the order
 * in which the code names them.
 */

const REASON_FIELDS = 7;

/** Returns the fields of the row of a refused outcome. */
export function refusedFields(refused: Refused): readonly unknown[] {
  const { index, code, reason, facts, details, operationIndex, frozen } = refused;
  if (frozen !== null) {
    return [false, index, code, frozen.words, frozen.details, operationIndex];
  }
  return [false, index, code, reason, sorted(facts), sorted(details), operationIndex];
}

/** Returns the refused outcome of a row in either form. */
export function refusedOfFields(fields: readonly unknown[]): Refused {
  if (fields.length === REASON_FIELDS) {
    const [ok, index, code, reason, facts, details, operationIndex] = fields;
    return { ok, index, code, reason, facts, details, operationIndex, frozen: null } as Refused;
  }
  const [, index, code, words, details, operationIndex] = fields;
  const frozen = { words, details } as NonNullable<Refused["frozen"]>;
  return {
    ok: false,
    index: index as LogIndex,
    code: code as Refused["code"],
    reason: null,
    facts: {} satisfies Facts,
    details: unquoted(frozen.details),
    operationIndex: operationIndex as number | null,
    frozen,
  };
}

/** Returns the details of a row with words without the quotes around their path. */
function unquoted(details: Refused["details"]): Refused["details"] {
  const { path } = details;
  return typeof path === "string" ? { ...details, path: path.slice(1, -1) } : details;
}

/** Returns a copy of plain data whose objects have their fields in the order of their names. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== "object" || value === null) return value;
  const names = Object.keys(value).sort();
  return Object.fromEntries(names.map((name) => [name, sorted((value as Facts)[name])]));
}
