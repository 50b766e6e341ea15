import { equalBytes } from "../../shared/base/bytes.ts";
import { AshlarError, isAshlarError } from "../../shared/base/errors.ts";
import type { Log } from "../../shared/ports/log.ts";
import type { OrderedStore } from "../../shared/ports/ordered-store.ts";
import type { EntryPosition } from "../raft/messages.ts";
import type { StateMachine } from "../state-machine.ts";
import type { NamedStore, StateDirectory } from "./member-storage.ts";
import { stateDamaged } from "./snapshot-parts.ts";

/** Dependencies and settings of a StateHolder. */
export interface StateHolderOptions {
  readonly states: StateDirectory;
  /** Opens the state machine over a store. @throws {AshlarError} STORE_CORRUPT */
  readonly openStateMachine: (store: OrderedStore) => StateMachine;
  readonly log: Log;
}

/** A complete state in a store that is not the current one yet. */
export interface PreparedState {
  readonly named: NamedStore;
  readonly machine: StateMachine;
}

/** Holds the current state: its store and the state machine over the store. */
export class StateHolder {
  readonly #options: StateHolderOptions;
  #current: NamedStore;
  #machine: StateMachine;

  private constructor(options: StateHolderOptions, current: NamedStore, machine: StateMachine) {
    this.#options = options;
    this.#current = current;
    this.#machine = machine;
  }

  /**
   * Opens the current state. Replaces a corrupt store by an empty one, which the log or a peer then
   * fills.
   */
  static async open(options: StateHolderOptions): Promise<StateHolder> {
    const { states, log } = options;
    try {
      const current = await states.openCurrent();
      return new StateHolder(options, current, await openMachine(options, current));
    } catch (error) {
      if (!isAshlarError(error, "STORE_CORRUPT")) throw error;
      log.error("The state is damaged: rebuilding it from the log or from a peer", { error });
    }
    const fresh = await states.startOver();
    return new StateHolder(options, fresh, await openMachine(options, fresh));
  }

  /** The current state machine. `replace` changes it. */
  get machine(): StateMachine {
    return this.#machine;
  }

  /**
   * Opens and verifies a state that was received into a store. It does not become the current one.
   *
   * @param rowsHash state hash of the received rows
   * @throws {AshlarError} STORE_CORRUPT if the state is not the one at `position`; STATE_DIVERGED
   *   if the received rows do not match the hash in the state
   */
  prepare(named: NamedStore, position: EntryPosition, rowsHash: Uint8Array): PreparedState {
    const machine = this.#options.openStateMachine(named.store);
    const { index, term, stateHash } = machine.durable;
    if (stateHash !== null && !equalBytes(stateHash, rowsHash)) {
      throw stateDamaged(index, { expected: stateHash, found: rowsHash });
    }
    if (index === position.index && term === position.term) return { named, machine };
    throw new AshlarError(
      "STORE_CORRUPT",
      `Cannot use a snapshot: expected the state at index ${position.index} of term ${position.term}: current value is ${index} of term ${term}`,
    );
  }

  /**
   * Replaces the current state by `prepared`. Atomic, and durable when it resolves. The caller must
   * ensure that no component reads, applies to or flushes the old state until then, then resets the log
   * and calls `StateDirectory.endLogReset`.
   */
  async replace(prepared: PreparedState): Promise<void> {
    await this.#options.states.switchTo(prepared.named.name);
    const old = this.#current;
    this.#current = prepared.named;
    this.#machine = prepared.machine;
    await old.store.close();
    await this.#options.states.remove(old.name);
  }

  /** Closes and removes a store that did not become the current one. */
  async discard(prepared: NamedStore): Promise<void> {
    await prepared.store.close();
    await this.#options.states.remove(prepared.name);
  }

  /** Closes the store of the current state. */
  async close(): Promise<void> {
    await this.#current.store.close();
  }
}

async function openMachine(options: StateHolderOptions, named: NamedStore): Promise<StateMachine> {
  try {
    return options.openStateMachine(named.store);
  } catch (error) {
    await named.store.close();
    throw error;
  }
}
