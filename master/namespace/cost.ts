import { AshlarError } from "../../shared/base/errors.ts";
import type { Command, NamespaceOperation } from "./command.ts";
import { type Refusal, refusal } from "./refusal.ts";
import { wordsOfRefusal } from "./refusal-words.ts";
import {
  CHUNKS,
  CONTENTS,
  OUTCOMES,
  POSITIONS,
  PURGES,
  RECLAIMS,
  STAGED,
  TOMBSTONES,
} from "./tables.ts";
import { HISTORY } from "./tree-tables.ts";

/*
 * The cost of an entry in units. A unit is about a microsecond on a slow core (docs/decisions/0014).
 * The units depend on the entry and the state only, so every member counts the same. From feature
 * level 7 on they are part of the replicated behaviour: a change that reads or writes other rows may
 * change which commands are refused, and then needs a feature level. `test/master/namespace/cost.test.ts`
 * holds the units of every operation.
 */

/** Most units of one entry of a client, without the details and the record of a refusal. */
export const ENTRY_UNITS_MAX = 20_000;
/** Most units of the details of a refusal: a path of `DEPTH_MAX` names costs 2,000. */
export const DETAILS_UNITS_MAX = 4_000;
/** A read of a row by its key, of a table whose rows are usually in memory. */
const READ_UNITS = 1;
/** A read of a row by its key, of another table. A missing row costs the same. */
const COLD_READ_UNITS = 6;
/** A row of a range. */
const RANGE_ROW_UNITS = 8;
/** A row that is written or deleted. */
const WRITE_UNITS = 2;
/** Each 1,024 bytes of an encoded command: they are decoded, and hashed if they are a content. */
const COMMAND_KIB_UNITS = 4;

/** Tables whose rows a process does not keep in memory, or usually does not find. */
const COLD: ReadonlySet<object> = new Set([
  CHUNKS,
  CONTENTS,
  HISTORY,
  OUTCOMES,
  POSITIONS,
  PURGES,
  RECLAIMS,
  STAGED,
  TOMBSTONES,
]);

/** Fewest units of an operation. */
const OPERATION_UNITS_MIN = 5;
/** Fewest units of a chunk in a commit: it is read twice, and written with its position. */
const CHUNK_UNITS_MIN = 2 * COLD_READ_UNITS + 2 * WRITE_UNITS;

/**
 * Checks that an entry may cost little enough: a leader does not propose one that must be refused.
 *
 * @throws {AshlarError} TOO_LARGE
 */
export function checkLeastCost(command: Command, commandBytes: number): void {
  const units = leastUnitsOf(command, commandBytes);
  if (units <= ENTRY_UNITS_MAX) return;
  const refused = tooLarge(ENTRY_UNITS_MAX);
  const { code, details } = refused;
  throw new AshlarError(code, wordsOfRefusal(refused), { details, hint: COST_HINT });
}

function leastUnitsOf(command: Command, commandBytes: number): number {
  let units = commandUnits(commandBytes);
  if (command.kind !== "transact") return units;
  for (const operation of command.operations) {
    units += OPERATION_UNITS_MIN + chunkCountOf(operation) * CHUNK_UNITS_MIN;
  }
  return units;
}

function chunkCountOf(operation: NamespaceOperation): number {
  switch (operation.kind) {
    case "commit-chunks":
      return operation.changes.length;
    case "put":
      return operation.content.kind === "chunks" ? operation.content.chunks.length : 0;
    default:
      return 0; // `stage` skips chunks that the upload has.
  }
}

const commandUnits = (bytes: number): number => Math.ceil((bytes * COMMAND_KIB_UNITS) / 1024);

/** The hint of a refusal with `details.limit` "entry-units". */
export const COST_HINT = "Split the transaction into smaller ones";

/** Counts the units of one entry. */
export class CostMeter {
  #units = 0;
  #unitsMax = Number.POSITIVE_INFINITY;

  /** The units so far. */
  get units(): number {
    return this.#units;
  }

  /** From now on, the entry is refused when it has more than `unitsMax`. */
  limit(unitsMax: number): void {
    this.#unitsMax = unitsMax;
    this.#spend(0);
  }

  /** Removes the limit: what remains is the record of the outcome. */
  removeLimit(): void {
    this.#unitsMax = Number.POSITIVE_INFINITY;
  }

  /** @throws {Refusal} TOO_LARGE */
  countCommand(bytes: number): void {
    this.#spend(commandUnits(bytes));
  }

  /** @param table a `Table`. @throws {Refusal} TOO_LARGE */
  countRead(table: object): void {
    this.#spend(COLD.has(table) ? COLD_READ_UNITS : READ_UNITS);
  }

  /** @throws {Refusal} TOO_LARGE */
  countRangeRow(): void {
    this.#spend(RANGE_ROW_UNITS);
  }

  /** @throws {Refusal} TOO_LARGE */
  countWrite(): void {
    this.#spend(WRITE_UNITS);
  }

  #spend(units: number): void {
    this.#units += units;
    if (this.#units <= this.#unitsMax) return;
    throw tooLarge(this.#unitsMax);
  }
}

const tooLarge = (max: number): Refusal =>
  refusal("entry-units", { max }, { limit: "entry-units", max });
