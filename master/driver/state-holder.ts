import { equalBytes } from "../../shared/base/bytes.ts";
import { AshlarError, isAshlarError } from "../../shared/base/errors.ts";
import type { Log } from "../../shared/ports/log.ts";
import type { OrderedStore } from "../../shared/ports/ordered-store.ts";
import type { EntryPosition } from "../raft/messages.ts";
import type { StateMachine } from "../state-machine.ts";
import type { NamedStore, StateDirectory } from "./member-storage.ts";
import { stateDamaged } from "./snapshot-parts.ts";

export interface StateHolderOptions {
  readonly states: StateDirectory;
  readonly openStateMachine: (store: OrderedStore) => StateMachine;
  readonly log: Log;
}

export interface PreparedState {
  readonly named: NamedStore;
  readonly machine: StateMachine;
}

/** The state of the moment: the store that holds it and the state machine over it. */
export class StateHolder {
  readonly #options: StateHolderOptions;
  #current: NamedStore;
  #machine: StateMachine;

  private constructor(options: StateHolderOptions, current: NamedStore, machine: StateMachine) {
    this.#options = options;
    this.#current = current;
    this.#machine = machine;
  }

  /** Opens the state. One that cannot be read is given up for an empty one: the log or a peer fills it. */
  static async open(options: StateHolderOptions): Promise<StateHolder> {
    const { states, log } = options;
    try {
      const current = await states.openCurrent();
      return new StateHolder(options, current, await openMachine(options, current));
    } catch (error) {
      if (!isAshlarError(error, "STORE_CORRUPT")) throw error;
      log.error("The state is damaged and is being rebuilt from the log or from a peer", { error });
    }
    const fresh = await states.startOver();
    return new StateHolder(options, fresh, await openMachine(options, fresh));
  }

  get machine(): StateMachine {
    return this.#machine;
  }

  /**
   * The state in a store that was filled from a snapshot. It is not the current one yet.
   *
   * @param rowsHash of the rows that were put into it
   * @throws {AshlarError} STORE_CORRUPT if it is not the state at `position`; STATE_DIVERGED if the
   *   rows are not those that the state was made of.
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
      `Cannot use a snapshot: expected the state at index ${position.index} of term ${position.term}: it is at ${index} of ${term}`,
    );
  }

  /**
   * Puts `prepared` in place of the current state, durably; a crash leaves either. The caller sees
   * to it that the old one is neither read, applied to nor flushed meanwhile.
   */
  async replace(prepared: PreparedState): Promise<void> {
    await this.#options.states.switchTo(prepared.named.name);
    const old = this.#current;
    this.#current = prepared.named;
    this.#machine = prepared.machine;
    await old.store.close();
    await this.#options.states.remove(old.name);
  }

  /** Gives up a store that never became the state. */
  async discard(prepared: NamedStore): Promise<void> {
    await prepared.store.close();
    await this.#options.states.remove(prepared.name);
  }

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
