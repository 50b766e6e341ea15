import * as v from "valibot";
import { assert } from "../../shared/base/assert.ts";
import { AshlarError } from "../../shared/base/errors.ts";
import type { Disk } from "../../shared/ports/disk.ts";
import type { Hasher } from "../../shared/ports/hasher.ts";
import type { Log } from "../../shared/ports/log.ts";
import type { OrderedStore, OrderedStores } from "../../shared/ports/ordered-store.ts";
import { REPLACE_HINT } from "../lost-entries.ts";
import { readChecksummedJson, writeChecksummedJson } from "./checksummed-json.ts";

const POINTER_PATH = "current.json";
const NAME = /^state-(\d+)$/;

const pointerSchema = v.strictObject({
  format: v.literal(1),
  store: v.pipe(v.string(), v.regex(NAME)),
  /** Present while the log is still that of an earlier state: see `StateStores.isLogResetPending`. */
  logReset: v.optional(v.literal("pending")),
});

type Pointer = v.InferOutput<typeof pointerSchema>;

/** Options of `StateStores.open`. */
export interface StateStoresOptions {
  readonly disk: Disk;
  readonly stores: OrderedStores;
  readonly hasher: Hasher;
  readonly log: Log;
  /** Whether the directory has had a log. A state without a log was restored from a backup. */
  readonly wasLogBegun: boolean;
}

/** An open store and its name. */
export interface NamedStore {
  readonly name: string;
  readonly store: OrderedStore;
}

/**
 * The stores `state-<n>` and the pointer file that names the current store.
 *
 * Invariant: the pointer names a store that was complete when the pointer was written. All other
 * stores were left by an unfinished snapshot or by a replaced state, and are removed at the start.
 */
export class StateStores {
  readonly #options: StateStoresOptions;
  #current: string;
  #isLogResetPending: boolean;
  #lastNumber: number;

  private constructor(options: StateStoresOptions, found: Pointer | null, lastNumber: number) {
    this.#options = options;
    this.#current = found?.store ?? "";
    this.#isLogResetPending = found?.logReset === "pending";
    this.#lastNumber = lastNumber;
  }

  /** Reads the pointer and removes all other stores. No store is opened. */
  static async open(options: StateStoresOptions): Promise<StateStores> {
    const { stores, log } = options;
    const names = (await stores.list()).filter((name) => numberOf(name) > 0);
    const found =
      (await readChecksummedJson(options, POINTER_PATH, pointerSchema)) ?? onlyState(names, log);
    const numbers = names.map(numberOf);
    const lastNumber = Math.max(0, ...numbers, numberOf(found?.store ?? "state-0"));
    const states = new StateStores(options, found, lastNumber);
    if (found === null) await states.#point(states.#nextName(), false);
    // A state without a log is a restored backup. Version 0.1.0 restored it without the mark: set it, so that the
    // log is reset to the state.
    else if (!options.wasLogBegun && !states.#isLogResetPending) await states.switchTo(found.store);
    for (const name of names) {
      if (name === states.#current) continue;
      log.info("Removed a state that is not the current one", { store: name });
      await stores.remove(name);
    }
    return states;
  }

  /** Opens the current store. @throws {AshlarError} STORE_CORRUPT: call `startOver` then. */
  async openCurrent(): Promise<NamedStore> {
    return { name: this.#current, store: await this.#options.stores.open(this.#current) };
  }

  /** Replaces the current store, which is closed and corrupt, by an empty one. */
  async startOver(): Promise<NamedStore> {
    const damaged = this.#current;
    const fresh = await this.openFresh();
    await this.#point(fresh.name, this.#isLogResetPending);
    await this.#options.stores.remove(damaged);
    return fresh;
  }

  /** Creates an empty store that is not the current one yet. */
  async openFresh(): Promise<NamedStore> {
    const name = this.#nextName();
    return { name, store: await this.#options.stores.open(name) };
  }

  /**
   * Whether the current state did not come from the log of this member, and the log may still be without its
   * entries: it may be reset to this state. Durable. Otherwise the log has all entries of the state, and a log
   * without them has lost them.
   */
  get isLogResetPending(): boolean {
    return this.#isLogResetPending;
  }

  /**
   * Makes a store whose state did not come from the log the current one, atomically. Then the log reset is
   * pending. Durable when the promise resolves.
   */
  async switchTo(name: string): Promise<void> {
    await this.#point(name, true);
  }

  /** Records that the log has been reset to the current state, or has its entries. Durable when it resolves. */
  async endLogReset(): Promise<void> {
    if (this.#isLogResetPending) await this.#point(this.#current, false);
  }

  /** Removes a store that is closed and not the current one. */
  async remove(name: string): Promise<void> {
    assert(name !== this.#current, "the current state store is not removed");
    await this.#options.stores.remove(name);
  }

  async #point(name: string, isLogResetPending: boolean): Promise<void> {
    assert(NAME.test(name), "the name of a state store has a number");
    const pointer: Pointer = { format: 1, store: name };
    await writeChecksummedJson(
      this.#options,
      POINTER_PATH,
      isLogResetPending ? { ...pointer, logReset: "pending" } : pointer,
    );
    this.#current = name;
    this.#isLogResetPending = isLogResetPending;
  }

  #nextName(): string {
    this.#lastNumber += 1;
    return `state-${this.#lastNumber}`;
  }
}

/**
 * Returns the pointer to the only store, if the pointer is missing. Each state that became the current one is
 * complete, and another one is there only until it has become the current one or is removed. Null if there is none.
 *
 * @throws {AshlarError} LOG_CORRUPT if there are several: nothing was changed
 */
function onlyState(names: readonly string[], log: Log): Pointer | null {
  const [name] = names;
  if (name === undefined) return null;
  if (names.length > 1) {
    throw new AshlarError(
      "LOG_CORRUPT",
      `Cannot choose the state: expected ${POINTER_PATH}, which names one of the stores ${names.join(", ")}`,
      {
        details: { path: POINTER_PATH },
        hint: `Restore ${POINTER_PATH} from a copy of it. Without a copy: ${REPLACE_HINT}`,
      },
    );
  }
  log.warn("The file that names the state is missing: the only state is used", {
    path: POINTER_PATH,
    store: name,
  });
  return { format: 1, store: name };
}

/** Returns the number in the name of a state store; 0 for another name. */
function numberOf(name: string): number {
  return Number(NAME.exec(name)?.[1] ?? 0);
}
